/** A `redis-server` of a test's own, or whatever `THRYD_REDIS_SERVER` names: on a free port, without a file, gone with it. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const program = process.env['THRYD_REDIS_SERVER'] ?? 'redis-server'

/**
 * Whether there is one to start. Where `THRYD_NEEDS_REDIS` is set there has to be; elsewhere a line says what was not run, because
 * the tests are to pass on a machine with Rust and Node alone.
 */
export const hasRedis = process.platform !== 'win32' && spawnSync(program, ['--version']).status === 0
if (!hasRedis) {
  const remedy = `there is no ${program} (Debian: apt-get install redis-server)`
  if (process.env['THRYD_NEEDS_REDIS']) throw new Error(remedy)
  console.warn(`NOT RUN: tests over Redis: ${remedy}`)
}

/** A port that no connection to elsewhere is given: those are above, on all systems. */
const somePort = (): number => 10_000 + Math.floor(Math.random() * 22_000)

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
    for (let attempt = 0; attempt < 20; attempt += 1) {
      const redis = new Redis(somePort())
      if (await redis.tryToStart()) return redis
      redis.stop()
    }
    throw new Error(`${program} does not start`)
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Starts it again on its port. */
  async start(): Promise<void> {
    // Others may have it for a moment.
    for (const begun = Date.now(); !(await this.tryToStart());) {
      if (Date.now() - begun > 10_000) throw new Error(`${program} does not start again`)
    }
  }

  /**
   * Starts it, unless somebody else has its port. Its socket in its folder is there when it has it itself, so that nobody takes the
   * server of another test for it.
   */
  private async tryToStart(): Promise<boolean> {
    const socket = join(this.folder, 'socket')
    rmSync(socket, { force: true })
    const settings = [
      '--bind',
      '127.0.0.1',
      '--unixsocket',
      socket,
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      this.folder,
    ]
    const child = spawn(program, ['--port', `${this.port}`, ...settings], { stdio: 'ignore' })
    this.child = child
    while (!(existsSync(socket) && (await isUp(this.port)))) {
      if (child.exitCode !== null || child.signalCode !== null) return false
      await sleep(10)
    }
    return true
  }

  signal(name: NodeJS.Signals): void {
    this.child?.kill(name)
  }

  stop(): void {
    this.signal('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }
}
