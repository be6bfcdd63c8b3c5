import { type ChildProcess, fork } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { Cache, type CacheOptions, type CacheStats } from '../..'
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
  private constructor(readonly child: ChildProcess) {}

  static async start(cache: Omit<CacheOptions, 'redis'> = {}, more: object = {}): Promise<Process> {
    const options = { cache: { ...cache, redis: { url: redis.url, ...more } }, baseUrl: provider.url }
    const child = fork(join(import.meta.dirname, 'cache-process.mjs'), [JSON.stringify(options)])
    children.push(child)
    await new Promise((resolve) => child.once('message', resolve))
    return new Process(child)
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

describe.skipIf(!hasRedis)('processes that share a cache in Redis', () => {
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
    await expect.poll(async () => (await other.do('invoke', 'Hi')).cache).toMatch(/redis|memory/)
    await one.do('clear')
    provider.answer = (_seen, response) => void response.writeHead(400).end('{"error":{"message":"asked anew"}}')
    await expect.poll(async () => (await other.do('invoke', 'Hi')).code, { timeout: 4000 }).toBe('ERR_PROVIDER')
  })

  test('are kept waiting by one that stands still for no longer than they say', async () => {
    const cache = await Process.start({}, { timeoutMs: 100 })
    await cache.do('invoke', 'Hi')
    redis.signal('SIGSTOP')
    const first = await cache.do('invoke', 'one')
    expect(first).toMatchObject({ cache: 'miss' })
    expect(first.tookMs).toBeLessThan(250)
    const times = []
    for (let call = 0; call < 20; call += 1) times.push((await cache.do('invoke', `two ${call}`)).tookMs)
    expect(times.toSorted((a, b) => a - b)[10]).toBeLessThan(50)
    expect((await cache.do<CacheStats>('stats')).redis).toMatchObject({ status: 'away' })
    redis.signal('SIGCONT')
    const status = async () => {
      await cache.do('invoke', `three ${Math.random()}`)
      return (await cache.do<CacheStats>('stats')).redis?.status
    }
    await expect.poll(status, { timeout: 2500 }).toBe('connected')
  })

  test('ask once for what they ask at once, if they are to', async () => {
    provider.answer = after(500)
    const processes = await Promise.all(Array.from({ length: 4 }, () => Process.start({ join: 'redis' })))
    const all = await Promise.all(processes.map((process) => process.do('invoke', 'Hi')))
    expect(provider.seen).toHaveLength(1)
    expect(all.map(({ cache }) => cache).toSorted()).toEqual(['joined', 'joined', 'joined', 'miss'])
    expect(all.map(({ text }) => text)).toEqual(['Hi', 'Hi', 'Hi', 'Hi'])
  })

  test('give a stream that waited for another the whole answer', async () => {
    provider.answer = after(300)
    const [one, other] = await Promise.all([Process.start({ join: 'redis' }), Process.start({ join: 'redis' })])
    const first = one.do('invoke', 'Hi')
    await provider.received()
    expect((await other.do('stream', 'Hi')).text).toBe('Hi')
    expect(await first).toMatchObject({ cache: 'miss' })
    expect(provider.seen).toHaveLength(1)
  })

  test('go on when the one that they wait for is killed, within its lease', async () => {
    provider.answer = after(60_000)
    const [one, other] = await Promise.all([0, 1].map(() => Process.start({ join: 'redis' }, { leaseMs: 1000 })))
    void one!.do('invoke', 'Hi')
    await provider.received()
    const second = other!.do('invoke', 'Hi')
    // Longer than the lease: as long as it lives it is waited for.
    await sleep(1500)
    expect(provider.seen).toHaveLength(1)
    provider.answer = echo
    one!.child.kill('SIGKILL')
    const killed = performance.now()
    expect(await second).toMatchObject({ cache: 'miss', text: 'Hi' })
    expect(performance.now() - killed).toBeLessThan(1500)
    expect(provider.seen).toHaveLength(2)
  })

  test('are not failed by the failure of another', async () => {
    provider.answer = async (_seen, response) => {
      await sleep(300)
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

  test('that is not there fails nothing but who wants to clear it', async () => {
    await using cache = await Cache.open({ redis: 'redis://me:hunter2@127.0.0.1:1' })
    expect(cache.stats()).toMatchObject({ redisHits: 0, redis: { url: 'redis://127.0.0.1:1', status: 'idle' } })
    await expect(cache.clear()).rejects.toMatchObject({ code: 'ERR_CACHE' })
    await cache.flush()
  })
})
