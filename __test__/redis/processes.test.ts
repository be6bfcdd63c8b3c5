import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import type { RedisLimitsStats } from '../..'
import { Redis, hasRedis } from '../support/redis'

// More than the default, for machines that are busy with tests.
const PATIENT = { timeoutMs: 3000 }

/** How long what is bound to happen is waited for on a machine that has other things to do. */
const SOON = 20_000

type Said = { answered: number; redis: RedisLimitsStats }

let redis: Redis
let children: ChildProcess[] = []

beforeEach(async () => {
  if (hasRedis) redis = await Redis.start()
})
afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
  children = []
  if (hasRedis) redis.stop()
})

/** What it says next, unless it ends before. */
const said = (child: ChildProcess) =>
  new Promise<unknown>((resolve, reject) => {
    const over = (code: number | null, signal: string | null) =>
      reject(new Error(`the process has ended: ${code ?? signal}`))
    child.once('exit', over)
    child.once('message', (message) => {
      child.off('exit', over)
      resolve(message)
    })
  })

/** Processes that share these limits. */
async function begin(
  count: number,
  deploy: object,
  settings: { leaseMs?: number; timeoutMs?: number },
): Promise<ChildProcess[]> {
  const options = JSON.stringify({ url: redis.url, ...settings, deploy })
  const begun = Array.from({ length: count }, () => fork(join(import.meta.dirname, 'process.mjs'), [options]))
  children.push(...begun)
  await Promise.all(begun.map(said))
  return begun
}

/** Lets one ask so often, each waiting for so long. */
function ask(child: ChildProcess, calls: number, queueMs = 0): Promise<Said> {
  const answer = said(child)
  child.send({ calls, queueMs })
  return answer as Promise<Said>
}

/** What each says of Redis, without asking for anything. */
async function statuses(processes: ChildProcess[]): Promise<string[]> {
  const all = await Promise.all(processes.map((child) => ask(child, 0)))
  return all.map(({ redis: stats }) => stats.status)
}

describe.skipIf(!hasRedis)('processes that name the same Redis', { timeout: 60_000 }, () => {
  test('are answered as often as one of them would be', async () => {
    const processes = await begin(4, { limits: { rpm: 60 } }, PATIENT)
    for (const child of processes) expect(await ask(child, 1)).toMatchObject({ answered: 1 })
    await expect.poll(() => statuses(processes), { timeout: SOON }).toEqual(processes.map(() => 'connected'))
    // What all of them ask is there before any of it is read, so that none is ahead of the others.
    redis.signal('SIGSTOP')
    const asked = processes.map((child) => ask(child, 30, 3000))
    await sleep(1000)
    redis.signal('SIGCONT')
    const all = await Promise.all(asked)
    expect(all.reduce((sum, { answered }) => sum + answered, 0)).toBe(56)
    // What is free goes to whoever was given least, a second's worth at a time.
    for (const { answered } of all) expect(answered).toBeGreaterThanOrEqual(10)
    for (const { redis: stats } of all) expect(stats).toMatchObject({ status: 'connected' })
  })

  test('have the slots of one that was killed when its lease is over, and not before', async () => {
    const limits = { maxConcurrent: 2 }
    const [dead] = await begin(1, { limits, latencyMs: 60_000 }, { leaseMs: 5000, ...PATIENT })
    const [alive] = await begin(1, { limits }, { leaseMs: 5000, ...PATIENT })
    void ask(dead!, 2, 10_000).catch(() => {})
    await expect.poll(async () => (await ask(alive!, 1)).answered, { timeout: SOON }).toBe(0)
    // As long as it lives they are its own, however long that takes.
    await sleep(7000)
    expect((await ask(alive!, 1)).answered).toBe(0)
    dead!.kill('SIGKILL')
    expect((await ask(alive!, 1)).answered).toBe(0)
    expect((await ask(alive!, 2, SOON)).answered).toBe(2)
  })

  test('go on with their shares while it stands still, and together when it goes on', async () => {
    const processes = await begin(2, { limits: { rpm: 40 } }, { leaseMs: 6000, timeoutMs: 1000 })
    for (const child of processes) expect(await ask(child, 1)).toMatchObject({ answered: 1 })
    // How many there are is heard within a second.
    const counted = async () => {
      const all = await Promise.all(processes.map((child) => ask(child, 0)))
      return all.map(({ redis: stats }) => [stats.status, stats.processes])
    }
    await expect.poll(counted, { timeout: SOON }).toEqual(processes.map(() => ['connected', 2]))
    redis.signal('SIGSTOP')
    const alone = await Promise.all(processes.map((child) => ask(child, 40, 3000)))
    // Half of the limit each, of which one is spent, and what Redis may have granted just before.
    for (const { answered, redis: stats } of alone) {
      expect(answered).toBeLessThanOrEqual(19)
      expect(answered).toBeGreaterThanOrEqual(15)
      expect(stats).toMatchObject({ status: 'local', processes: 2 })
    }
    redis.signal('SIGCONT')
    await expect.poll(async () => (await ask(processes[0]!, 1)).redis.status, { timeout: SOON }).toBe('connected')
  })
})
