/** Runs scripts in processes of their own, as a user would. */

import { spawn } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')

/** How a process ended, and what it said. */
export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** Runs a module with these arguments; fails if it has not ended after 15 s. */
export async function run(source: string, ...args: string[]): Promise<Ended> {
  // The first argument is Node's to skip.
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source, '--', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (ended.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (ended.stderr += text))
  return await new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`it did not end by itself; it said: ${ended.stdout}${ended.stderr}`))
    }, 15_000)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(late)
      resolve({ code, signal, ...ended })
    })
  })
}

/** The same for one that is to end well; gives what it printed, as JSON. */
export async function printed(source: string, ...args: string[]): Promise<unknown> {
  const { code, signal, stdout, stderr } = await run(source, ...args)
  if (code !== 0 || stderr !== '') throw new Error(`ended with ${code ?? signal}: ${stdout}${stderr}`)
  return JSON.parse(stdout)
}
