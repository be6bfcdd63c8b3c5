/** A `redis-server` of a test's own: on a free port, without a file, gone with it. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Whether there is one to start. Where `CI` is set there has to be; elsewhere a line says what was not run, because the tests are to
 * pass on a machine with Rust and Node alone.
 */
export const hasRedis = spawnSync('redis-server', ['--version']).status === 0
if (!hasRedis) {
  const remedy = 'there is no redis-server (Debian: apt-get install redis-server)'
  if (process.env['CI']) throw new Error(remedy)
  console.warn(`NOT RUN: tests over Redis: ${remedy}`)
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

const isUp = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => resolve((socket.destroy(), true))).on('error', () => resolve(false))
  })

export class Redis {
  private child: ChildProcess | undefined
  private readonly folder = mkdtempSync(join(tmpdir(), 'thryd-redis-'))

  private constructor(readonly port: number) {}

  static async start(): Promise<Redis> {
    const redis = new Redis(await freePort())
    await redis.start()
    return redis
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const settings = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', this.folder]
    this.child = spawn('redis-server', ['--port', `${this.port}`, ...settings], { stdio: 'ignore' })
    while (!(await isUp(this.port))) await new Promise((resolve) => setTimeout(resolve, 10))
  }

  signal(name: NodeJS.Signals): void {
    this.child?.kill(name)
  }

  stop(): void {
    this.signal('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }
}
