/** The package as users load it: built, with the real core. */

import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

export const thryd = createRequire(import.meta.url)(root) as typeof import('thryd')

/** Runs a module in a process of its own, as a user's script would be, and gives the JSON that it prints. */
export function run(source: string): unknown {
  const options = { cwd: root, encoding: 'utf8', timeout: 15_000 } as const
  return JSON.parse(execFileSync(process.execPath, ['--input-type=module', '--eval', source], options))
}

/** Gives what a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('expected a rejection, got an answer')
}
