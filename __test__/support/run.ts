/** The package in a process of its own. */

import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

/** Runs a module as a user's script would be, and gives the JSON that it prints. */
export function run(source: string): unknown {
  const options = { cwd: root, encoding: 'utf8', timeout: 45_000 } as const
  return JSON.parse(execFileSync(process.execPath, ['--input-type=module', '--eval', source], options))
}
