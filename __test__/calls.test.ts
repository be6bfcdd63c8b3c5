import { describe, expect, test, vi } from 'vitest'

import { Cache, CompletionRouter, EmbeddingRouter, ProviderError, RerankRouter, ThrydError } from '..'
import { caught } from './support/caught'
import { SOON } from './support/idle'

const dummy = { type: 'dummy', dummy: { cache: true } } as const
const router = () => new CompletionRouter({ providers: [dummy] }).deploy('default', 'dummy::echo')

describe('answers', () => {
  test('belong to their questions, 64 at once, cached or not', async () => {
    const requests = Array.from({ length: 4000 }, (_, index) => ({ message: `question ${index % 3000}` }))
    const cached = new CompletionRouter({ providers: [dummy], cache: {} }).deploy('default', 'dummy::echo')
    let index = 0
    for await (const answer of cached.invokeMany('default', requests)) {
      expect(String(answer)).toBe(requests[index]?.message)
      index += 1
    }
    expect(index).toBe(4000)
    expect(cached.stats().inFlight).toBe(0)
  })

  test('come a second time from memory, whole or in pieces', async () => {
    await using cached = new CompletionRouter({ providers: [dummy], cache: {} }).deploy('default', 'dummy::echo')
    expect((await cached.invoke('default', { message: 'one two' })).cache).toBe('miss')
    expect((await cached.invoke('default', { message: 'one two' })).cache).toBe('memory')
    const stream = cached.stream('default', { message: 'one two' })
    let text = ''
    for await (const chunk of stream) text += chunk.type === 'content' ? chunk.delta : ''
    expect(text).toBe('one two')
    expect((await stream.completion()).cache).toBe('memory')
  })

  test('of each kind have their shape', async () => {
    const embedder = new EmbeddingRouter({ providers: [dummy] }).deploy('default', 'dummy::echo')
    const { vectors } = await embedder.invoke('default', { input: ['a', 'b', 'a'] })
    expect(vectors.map((vector) => vector.length)).toEqual([8, 8, 8])
    expect(vectors[0]).toEqual(vectors[2])
    expect(vectors[0]).not.toEqual(vectors[1])
    const ranker = new RerankRouter({ providers: [dummy] }).deploy('default', 'dummy::echo')
    const { results } = await ranker.invoke('default', { query: 'b', documents: ['a', 'b'], top_n: 1 })
    expect(results).toHaveLength(1)
  })

  test('of one cache that two routers mount are shared', async () => {
    const cache = await Cache.open({})
    const [first, second] = await Promise.all([router().mountCache(cache), router().mountCache(cache)])
    expect((await first.invoke('default', { message: 'Hi' })).cache).toBe('miss')
    expect((await second.invoke('default', { message: 'Hi' })).cache).toBe('memory')
    expect(second.cache).toBe(cache)
    expect(cache.stats()).toMatchObject({ entries: 1, hits: 1 })
    await cache.clear()
    expect((await second.invoke('default', { message: 'Hi' })).cache).toBe('miss')
  })
})

describe('a custom provider', () => {
  test('answers whole or in pieces, to invoke and to stream', async () => {
    const providers = [
      { name: 'whole', complete: async () => 'one two' },
      {
        name: 'pieces',
        async *complete() {
          yield 'one '
          yield 'two'
        },
      },
    ]
    const custom = new CompletionRouter({ providers }).deploy('whole', 'whole::m').deploy('pieces', 'pieces::m')
    for (const group of ['whole', 'pieces']) {
      expect(String(await custom.invoke(group, { message: 'Hi' }))).toBe('one two')
      expect((await custom.stream(group, { message: 'Hi' }).completion()).content).toBe('one two')
    }
  })

  test('whose error has a status fails like an answer of that status', async () => {
    const complete = () => Promise.reject(Object.assign(new Error('no such model'), { status: 404 }))
    const custom = new CompletionRouter({ providers: [{ name: 'mine', complete }] }).deploy('g', 'mine::m')
    const error = await caught(custom.invoke('g', { message: 'Hi' }, { queueMs: 0 }))
    expect(ThrydError.is(error)).toBe(true)
    expect(String(error)).toContain('no such model')
  })

  test('whose fault is the caller’s is not asked again', async () => {
    let calls = 0
    const complete = (): Promise<string> => {
      calls += 1
      return Promise.reject(Object.assign(new Error('bad'), { status: 400 }))
    }
    const custom = new CompletionRouter({ providers: [{ name: 'mine', complete }] }).deploy('g', 'mine::m')
    const error = await caught(custom.invoke('g', { message: 'Hi' }))
    expect(error).toBeInstanceOf(ProviderError)
    expect(error).toMatchObject({ status: 400, deployment: 'mine::m', retryable: false })
    expect(calls).toBe(1)
  })

  test('hears when nobody wants its answer', async () => {
    const controller = new AbortController()
    const aborted = new AbortController()
    const custom = new CompletionRouter().addProvider({
      name: 'mine',
      complete: async (_request, { signal }) => {
        signal.addEventListener('abort', () => aborted.abort())
        controller.abort('enough')
        return await new Promise<never>(() => undefined)
      },
    })
    const call = custom.deploy('g', 'mine::m').invoke('g', { message: 'Hi' }, { signal: controller.signal })
    expect(await caught(call)).toBe('enough')
    await vi.waitFor(() => expect(aborted.signal.aborted).toBe(true), SOON)
  })

  test('can use the router that asks it', async () => {
    const inner = router()
    inner.addProvider({
      name: 'mine',
      complete: async ({ messages }) => `${await inner.invoke('default', { messages: messages ?? [] })}!`,
    })
    expect(String(await inner.deploy('g', 'mine::m').invoke('g', { message: 'Hi' }))).toBe('Hi!')
  })
})

describe('a closed router', () => {
  test('waits for what is under way, then refuses, and may be closed again', async () => {
    const slow = new CompletionRouter({ providers: [{ ...dummy, dummy: { latencyMs: 20 } }] }).deploy(
      'g',
      'dummy::echo',
    )
    const call = slow.invoke('g', { message: 'Hi' })
    await slow.close()
    await slow.close()
    expect(slow.stats().inFlight).toBe(0)
    expect(String(await call)).toBe('Hi')
    expect(await caught(slow.invoke('g', { message: 'Hi' }))).toMatchObject({ code: 'ERR_CLOSED' })
    await expect(async () => {
      for await (const _ of slow.stream('g', { message: 'Hi' })) break
    }).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  })
})
