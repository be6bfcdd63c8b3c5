/** Runs scripts in processes of their own, as a user would. */

import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')

/** Less than a test has, so that what hangs is said. */
const LONGEST_MS = 45_000

/** How a process ended, and what it said. */
export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** A script under way. */
export interface Script {
  process: ChildProcess
  /** Rejects if it has not ended after 45 s. */
  ended: Promise<Ended>
  /** Settles when it has printed this; rejects if it ends before. */
  said(text: string): Promise<void>
}

/** Starts a module with these arguments. */
export function start(source: string, ...args: string[]): Script {
  // The first argument is Node's to skip.
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source, '--', ...args], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const heard = { stdout: '', stderr: '' }
  const listeners = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    heard.stdout += text
    for (const listener of listeners) listener()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => (heard.stderr += text))
  const ended = new Promise<Ended>((resolve, reject) => {
    const late = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`it did not end by itself; it said: ${heard.stdout}${heard.stderr}`))
    }, LONGEST_MS)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(late)
      resolve({ code, signal, ...heard })
    })
  })
  const said = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (!heard.stdout.includes(text)) return
        listeners.delete(look)
        resolve()
      }
      listeners.add(look)
      look()
      ended.then(({ stdout, stderr }) => reject(new Error(`it ended without ${text}: ${stdout}${stderr}`)), reject)
    })
  return { process: child, ended, said }
}

/** Runs a module with these arguments; fails if it has not ended after 45 s. */
export function run(source: string, ...args: string[]): Promise<Ended> {
  return start(source, ...args).ended
}

/** The same for one that is to end well; gives what it printed, as JSON. */
export async function printed(source: string, ...args: string[]): Promise<unknown> {
  const { code, signal, stdout, stderr } = await run(source, ...args)
  if (code !== 0 || stderr !== '') throw new Error(`ended with ${code ?? signal}: ${stdout}${stderr}`)
  return JSON.parse(stdout)
}
