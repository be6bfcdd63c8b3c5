import { beforeEach, expect, test, vi } from 'vitest'

import { Cache, CompletionRouter } from '../../js'
import { reset, seen } from '../support/native'

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
