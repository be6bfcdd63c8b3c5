/** What pages tell their readers to type. */

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { root } from './blocks.js'

/** What users have, or are told to have. */
const PROGRAMS = new Set(['apk', 'apt-get', 'cargo', 'cd', 'docker', 'export', 'pip', 'rm', 'rustup'])

/** The commands of a script, without what it says of them. */
export function commands(script: string): string[] {
  const lines = script.split('\n').map((line) => line.replace(/(^| +)#.*$/, ''))
  const all = lines.flatMap((line) => line.split(/ && | \| /)).map((text) => text.trim())
  return all.filter((text) => text !== '')
}

/** Whether what a command calls is a script of the package, a file of the clone or of a page, or a program that users have. */
export function exists(command: string, files: Set<string>): boolean {
  const [name = '', first = '', second = ''] = command.replace(/^(\w+=\S* )+/, '').split(' ')
  if (name === 'npm') return first === 'run' ? second in scripts() : ['ci', 'install', 'test'].includes(first)
  if (name === 'node' || name === 'bash') return existsSync(join(root, first)) || files.has(first)
  if (name === 'npx') return existsSync(join(root, 'node_modules/.bin', first))
  if (name.startsWith('scripts/')) return existsSync(join(root, name))
  return PROGRAMS.has(name)
}

/** The instructions of a Dockerfile, each on a line of its own. */
export function instructions(dockerfile: string): string[] {
  const lines = dockerfile.replaceAll(/\\\n/g, ' ').split('\n')
  return lines.filter((line) => line !== '' && !line.startsWith('#'))
}

function scripts(): Record<string, string> {
  const { scripts: all } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  return all
}
