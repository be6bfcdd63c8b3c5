import { beforeEach, expect, test, vi } from 'vitest'

import { Cache, CompletionRouter } from '../../js'
import { LetterKind } from '../../js/letter'
import { failedLetter, post, reset, script, seen } from '../support/native'

vi.mock('../../js/native', async () => await import('../support/native'))

beforeEach(reset)

test('a path is short for options', async () => {
  await Cache.open('./x.redb')
  await new CompletionRouter().mountCache('./y.redb')
  new CompletionRouter({ cache: './z.redb' })
  expect(seen.configured).toEqual([{ path: './x.redb' }, {}, { path: './y.redb' }, { cache: { path: './z.redb' } }])
})

test('a router has the very cache that was mounted, and one face for the one that it opened', async () => {
  const cache = await Cache.open({})
  expect((await new CompletionRouter().mountCache(cache)).cache).toBe(cache)
  expect(new CompletionRouter({ cache }).cache).toBe(cache)
  const opened = await new CompletionRouter().mountCache({})
  expect(opened.cache).toBeInstanceOf(Cache)
  expect(opened.cache).toBe(opened.cache)
  expect(new CompletionRouter().cache).toBeUndefined()
})

test('clearing says what it is to clear, or refuses', async () => {
  const cache = await Cache.open({})
  await cache.clear()
  await cache.clear({ namespace: 'a' })
  expect(seen.configured.slice(1)).toEqual([{ namespace: null }, { namespace: 'a' }])
  await expect(cache.clear({ tenant: 'a' } as never)).rejects.toThrow(/^clear options\.tenant: expected one of/)
  await expect(cache.clear({ namespace: 1 } as never)).rejects.toThrow(/^clear options\.namespace: expected a string/)
})

const progress = (id: number, done: number) => ({
  kind: LetterKind.Progress,
  id,
  text: JSON.stringify({ done, total: 2 }),
})

test('an export tells how far it is, also by letters that come together, and the event loop is held until its end', async () => {
  const cache = await Cache.open({})
  script.transfer = (id) => post(progress(id, 0), progress(id, 1), progress(id, 2), { kind: 0, id, text: '2' })
  const told: unknown[] = []
  const ended = cache.export('x.jsonl', { namespace: 'a', onProgress: (step) => told.push(step) })
  expect(seen.isHeld).toBe(true)
  expect(await ended).toBe(2)
  expect(told).toEqual([0, 1, 2].map((done) => ({ done, total: 2 })))
  expect(seen.configured.at(-1)).toEqual({ path: 'x.jsonl', namespace: 'a', isTold: true })
  expect(seen.isHeld).toBe(false)
})

test('what a callback of progress throws ends the transfer, and nothing is lost or left waiting', async () => {
  const cache = await Cache.open({})
  const fault = new Error('from the callback')
  let calls = 0
  script.transfer = (id) => post(progress(id, 0), progress(id, 1), { kind: 0, id, text: '2' })
  const throws = (): void => {
    calls += 1
    throw fault
  }
  await expect(cache.import('x.jsonl', { onProgress: throws })).rejects.toBe(fault)
  await expect(cache.export('x.jsonl', { onProgress: throws })).rejects.toBe(fault)
  expect(calls).toBe(2)
  expect(seen.cancelled).toHaveLength(2)
  expect(seen.isHeld).toBe(false)
})

test('a transfer that fails after some progress rejects with its error', async () => {
  const cache = await Cache.open({})
  script.transfer = (id) =>
    post(progress(id, 0), failedLetter(id, { name: 'CacheError', code: 'ERR_CACHE', message: 'line 2' }))
  await expect(cache.import('x.jsonl', { onProgress: () => undefined })).rejects.toThrow(/^line 2$/)
})

test('exporting and importing refuse what they do not know, by its name', async () => {
  const cache = await Cache.open({})
  await expect(cache.export(7 as never)).rejects.toThrow(/^path: expected a string, got 7/)
  await expect(cache.import(undefined as never)).rejects.toThrow(/^path: expected a string, got undefined/)
  await expect(cache.export('x', { tenant: 'a' } as never)).rejects.toThrow(/^export options\.tenant: expected one of/)
  await expect(cache.export('x', { namespace: 1 } as never)).rejects.toThrow(/^export options\.namespace: expected/)
  await expect(cache.import('x', { namespace: 'a' } as never)).rejects.toThrow(/^import options\.namespace: expected/)
  await expect(cache.import('x', { onProgress: 1 } as never)).rejects.toThrow(
    /^import options\.onProgress: expected a f/,
  )
  expect(seen.configured).toHaveLength(1)
})

test('nothing but a path, options or a cache is one', async () => {
  class OtherCache {
    flush(): void {}
  }
  for (const wrong of [undefined, 7, new OtherCache()]) {
    await expect(new CompletionRouter().mountCache(wrong as never)).rejects.toThrow(/^cache: expected a path/)
  }
})

test('what is not on disk yet is written once, when the process exits', async () => {
  await Cache.open({})
  const listeners = process.listenerCount('exit')
  await Cache.open({})
  expect(process.listenerCount('exit')).toBe(listeners)
  process.listeners('exit').at(-1)?.call(process, 0)
  expect(seen.flushes).toBe(1)
})
