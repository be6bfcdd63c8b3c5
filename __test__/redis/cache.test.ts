import { type ChildProcess, fork } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { Cache, type CacheOptions, type CacheStats, CompletionRouter } from '../..'
import { Redis, hasRedis } from '../support/redis'
import { type Answer, TestServer, echo } from '../support/server'

interface Said {
  text: string
  cache: string
  tookMs: number
  code?: string
}

let redis: Redis
let provider: TestServer
let children: ChildProcess[] = []

beforeEach(async () => {
  if (!hasRedis) return
  redis = await Redis.start()
  provider = await TestServer.start()
})
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  children = []
  if (!hasRedis) return
  redis.stop()
  await provider.close()
})

/** How long what is bound to happen is waited for on a machine that has other things to do. */
const SOON = 20_000

/** Answers after a while. */
const after =
  (milliseconds: number): Answer =>
  async (seen, response) => {
    await sleep(milliseconds)
    await echo(seen, response)
  }

/** A process with a cache in the Redis. */
class Process {
  static #last = 0
  /** On its standard error. */
  says = ''
  private constructor(readonly child: ChildProcess) {}

  static async start(cache: Omit<CacheOptions, 'redis'> = {}, more: object = {}): Promise<Process> {
    // More patience than the default, for machines that are busy with tests.
    const options = { cache: { ...cache, redis: { url: redis.url, timeoutMs: 3000, ...more } }, baseUrl: provider.url }
    const stdio = ['ignore', 'inherit', 'pipe', 'ipc'] as const
    const child = fork(join(import.meta.dirname, 'cache-process.mjs'), [JSON.stringify(options)], { stdio: [...stdio] })
    children.push(child)
    const process = new Process(child)
    child.stderr!.on('data', (text: Buffer) => (process.says += text))
    await new Promise((resolve) => child.once('message', resolve))
    return process
  }

  do<T = Said>(verb: 'invoke' | 'stream' | 'clear' | 'stats' | 'last', ...parameters: unknown[]): Promise<T> {
    const id = (Process.#last += 1)
    return new Promise((resolve) => {
      const hear = (message: unknown): void => {
        const { id: of, said } = message as { id: number; said: T }
        if (of !== id) return
        this.child.off('message', hear)
        resolve(said)
      }
      this.child.on('message', hear)
      this.child.send({ id, verb, parameters })
    })
  }
}

describe.skipIf(!hasRedis)('processes that share a cache in Redis', { timeout: 60_000 }, () => {
  test('find what others were answered, also by one that has ended since', async () => {
    const first = await Process.start()
    expect(await first.do('last', 'Hi')).toMatchObject({ cache: 'miss' })
    const second = await Process.start()
    const said = await second.do('invoke', 'Hi')
    expect(said).toMatchObject({ cache: 'redis', text: 'Hi' })
    expect(await second.do('invoke', 'Hi')).toMatchObject({ cache: 'memory' })
    expect((await second.do('stream', 'Hi')).text).toBe('Hi')
    expect(provider.seen).toHaveLength(1)
    const stats = await second.do<CacheStats>('stats')
    expect(stats).toMatchObject({ redisHits: 1, misses: 0, redis: { status: 'connected', skipped: 0, url: redis.url } })
  })

  test('learn that one of them has cleared it', async () => {
    const [one, other] = await Promise.all([Process.start(), Process.start()])
    await one.do('invoke', 'Hi')
    await expect.poll(async () => (await other.do('invoke', 'Hi')).cache, { timeout: SOON }).toMatch(/redis|memory/)
    await one.do('clear')
    provider.answer = (_seen, response) => void response.writeHead(400).end('{"error":{"message":"asked anew"}}')
    await expect.poll(async () => (await other.do('invoke', 'Hi')).code, { timeout: SOON }).toBe('ERR_PROVIDER')
  })

  test('are kept waiting by one that stands still for no longer than they say', async () => {
    const cache = await Process.start({}, { timeoutMs: 100 })
    await cache.do('invoke', 'Hi')
    redis.signal('SIGSTOP')
    const first = await cache.do('invoke', 'one')
    expect(first).toMatchObject({ cache: 'miss' })
    // One that waited for it would not come back at all.
    expect(first.tookMs).toBeLessThan(2000)
    const times = []
    for (let call = 0; call < 40; call += 1) times.push((await cache.do('invoke', `two ${call}`)).tookMs)
    expect(times.toSorted((a, b) => a - b)[20]).toBeLessThan(80)
    expect((await cache.do<CacheStats>('stats')).redis).toMatchObject({ status: 'away' })
    redis.signal('SIGCONT')
    // By itself, without a call.
    await expect
      .poll(async () => (await cache.do<CacheStats>('stats')).redis?.status, { timeout: SOON })
      .toBe('connected')
  })

  test('say once that it is away and once that it is back, however often it comes and goes', async () => {
    const cache = await Process.start({}, { timeoutMs: 300 })
    const status = (expected: string) =>
      expect
        .poll(
          async () => {
            await cache.do('invoke', `${Math.random()}`)
            return (await cache.do<CacheStats>('stats')).redis?.status
          },
          { timeout: SOON },
        )
        .toBe(expected)
    await status('connected')
    for (let round = 0; round < 3; round += 1) {
      redis.signal('SIGSTOP')
      await status('away')
      redis.signal('SIGCONT')
      await status('connected')
    }
    const lines = cache.says.split('\n').filter((line) => line.startsWith('thryd:'))
    expect(lines).toEqual([
      expect.stringMatching(/^thryd: the cache goes on without Redis: /),
      expect.stringMatching(/^thryd: answers are kept in Redis again: /),
    ])
  })

  test('answer when nobody reads what they say', async () => {
    const cache = await Process.start()
    expect(await cache.do('invoke', 'Hi')).toMatchObject({ cache: 'miss' })
    cache.child.stderr!.destroy()
    redis.signal('SIGKILL')
    for (let call = 0; call < 5; call += 1) {
      expect(await cache.do('invoke', `${call}`)).toMatchObject({ cache: 'miss', text: `${call}` })
    }
    await expect.poll(async () => (await cache.do<CacheStats>('stats')).redis?.status, { timeout: SOON }).toBe('away')
  })

  test('ask once for what they ask at once, if they are to', async () => {
    provider.answer = after(2000)
    const processes = await Promise.all(Array.from({ length: 4 }, () => Process.start({ join: 'redis' })))
    const all = await Promise.all(processes.map((process) => process.do('invoke', 'Hi')))
    expect(provider.seen).toHaveLength(1)
    expect(all.map(({ cache }) => cache).toSorted()).toEqual(['joined', 'joined', 'joined', 'miss'])
    expect(all.map(({ text }) => text)).toEqual(['Hi', 'Hi', 'Hi', 'Hi'])
  })

  test('give a stream that waited for another the whole answer', async () => {
    provider.answer = after(1500)
    const [one, other] = await Promise.all([Process.start({ join: 'redis' }), Process.start({ join: 'redis' })])
    const first = one.do('invoke', 'Hi')
    await provider.received()
    expect((await other.do('stream', 'Hi')).text).toBe('Hi')
    expect(await first).toMatchObject({ cache: 'miss' })
    expect(provider.seen).toHaveLength(1)
  })

  test('go on when the one that they wait for is killed, within its lease', async () => {
    provider.answer = after(60_000)
    const [one, other] = await Promise.all([0, 1].map(() => Process.start({ join: 'redis' }, { leaseMs: 5000 })))
    void one!.do('invoke', 'Hi')
    await provider.received()
    const second = other!.do('invoke', 'Hi')
    // Longer than the lease: as long as it lives it is waited for.
    await sleep(7000)
    expect(provider.seen).toHaveLength(1)
    provider.answer = echo
    one!.child.kill('SIGKILL')
    // One that waited for longer than the lease would wait for the answer that does not come.
    expect(await second).toMatchObject({ cache: 'miss', text: 'Hi' })
    expect(provider.seen).toHaveLength(2)
  })

  test('are not failed by the failure of another', async () => {
    provider.answer = async (_seen, response) => {
      await sleep(1500)
      provider.answer = echo
      response.writeHead(400).end('{"error":{"message":"no"}}')
    }
    const [one, other] = await Promise.all([Process.start({ join: 'redis' }), Process.start({ join: 'redis' })])
    const first = one.do('invoke', 'Hi')
    await provider.received()
    expect(await other.do('invoke', 'Hi')).toMatchObject({ cache: 'miss', text: 'Hi' })
    expect(await first).toMatchObject({ code: 'ERR_PROVIDER' })
  })
})

describe('a cache in Redis', () => {
  test.each([
    [{ redis: 'http://me:hunter2@host' }, /cache options\.redis: expected a redis:\/\/ or rediss:\/\/ URL/],
    [{ redis: 5 }, /cache options\.redis: expected a redis:\/\/ URL, or an object with one, got 5/],
    [{ redis: { url: 'redis://me:hunter2@host', lease: 1 } }, /cache options\.redis\.lease: expected .*leaseMs/],
    [{ redis: 'redis://host', join: true }, /cache options\.join: expected /],
    [
      'redis://me:hunter2@host',
      /cache options\.path: expected the path of a file; where Redis is stands in cache options/,
    ],
    [{ join: 'redis' }, /cache options\.join: expected a redis beside it/],
  ])('of options %j is refused by field, and without a password', async (options, message) => {
    const error = await Cache.open(options as CacheOptions).catch((thrown: Error) => thrown)
    expect(error).toBeInstanceOf(TypeError)
    expect((error as Error).message).toMatch(message)
    expect((error as Error).message).not.toContain('hunter2')
  })

  test('that is not there is not said to lack what only it may answer', async () => {
    const router = new CompletionRouter({ cache: { redis: 'redis://me:hunter2@127.0.0.1:1', mode: 'replay' } })
    router.addProvider({ type: 'dummy' })
    router.deploy('g', 'dummy::m')
    const error = await router.invoke('g', { message: 'Hi' }).catch((thrown: Error) => thrown)
    expect(error).toMatchObject({ code: 'ERR_NOT_CACHED', retryable: true })
    expect((error as Error).message).toMatch(/^group "g": Redis was not looked into: 127\.0\.0\.1:1: .*refused/)
    await router.close()
  })

  test('that is not there fails nothing but who wants to clear it', async () => {
    await using cache = await Cache.open({ redis: 'redis://me:hunter2@127.0.0.1:1' })
    expect(cache.stats()).toMatchObject({ redisHits: 0, redis: { url: 'redis://127.0.0.1:1', status: 'idle' } })
    await expect(cache.clear()).rejects.toMatchObject({ code: 'ERR_CACHE' })
    await cache.flush()
  })
})
