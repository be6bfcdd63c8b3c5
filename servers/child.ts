/** A server as a process of its own. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/** What is to be run. */
export interface Command {
  /** The environment of Python that has it: a folder of `.venv`. */
  python: string
  args: string[]
  /** Where it runs. */
  cwd: string
  /** Beside that of this process. */
  env?: Record<string, string>
}

/** How long a server may take until it listens. */
const START_MS = 120_000
const SHOWN_BYTES = 4_000

/** Runs until it is killed or stopped, and no longer than this process. */
export class Child {
  private constructor(
    readonly url: string,
    readonly process: ChildProcess,
  ) {}

  /** Done when the server says where it listens. @throws Error with what it said instead */
  static async start({ python, args, cwd, env }: Command): Promise<Child> {
    const path = join(import.meta.dirname, '.venv', python, 'bin/python')
    const child = spawn(path, args, { cwd, env: { ...process.env, ...env }, stdio: 'pipe' })
    let said = ''
    const url = await new Promise<string>((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${args.join(' ')} ${why}:\n${said}`))
      const timer = setTimeout(() => {
        child.kill('SIGKILL')
        fail('does not listen')
      }, START_MS)
      const hear = (text: Buffer): void => {
        said = (said + text.toString()).slice(-SHOWN_BYTES)
        const address = /(?:listening|running) on (http:\/\/[\w.]+:\d+)/.exec(said)?.[1]
        if (address === undefined) return
        clearTimeout(timer)
        resolve(address)
      }
      child.stdout.on('data', hear)
      child.stderr.on('data', hear)
      child.on('error', (error) => fail(error.message))
      child.on('exit', () => {
        clearTimeout(timer)
        fail('ended')
      })
    })
    return new Child(url.replace('localhost', '127.0.0.1'), child)
  }

  get hasEnded(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null
  }

  /** As when the machine loses it: it has no time for a word. */
  async kill(): Promise<void> {
    if (this.hasEnded) return
    const exit = once(this.process, 'exit')
    this.process.kill('SIGKILL')
    await exit
  }
}

/** A server that can be killed, and started again where it was. */
export class Mortal {
  #child: Child

  private constructor(
    readonly begin: (port: number) => Promise<Child>,
    child: Child,
  ) {
    this.#child = child
  }

  static async start(begin: (port: number) => Promise<Child>): Promise<Mortal> {
    return new Mortal(begin, await begin(0))
  }

  get url(): string {
    return this.#child.url
  }

  kill(): Promise<void> {
    return this.#child.kill()
  }

  /** Nothing happens if it lives. */
  async revive(): Promise<void> {
    if (!this.#child.hasEnded) return
    this.#child = await this.begin(Number(new URL(this.url).port))
  }
}
