import { createRequire } from 'node:module'

import { afterEach, describe, expect, test, vi } from 'vitest'

import { toFetch } from 'thryd/fetch'

import { CompletionRouter, EmbeddingRouter } from '..'
import { caught, collected, thrownBy } from './support/caught'
import { chat, refused, untilItBreaks } from './support/gateway'

// A panic is told to stderr as well; its frames would fill the screen.
process.env['RUST_BACKTRACE'] = '0'

/** Beside what users see, a build for development has a provider that panics on demand. */
interface Core {
  configure(options: string): string
  addPanickingProvider?(name: string, place: string, times: number): string
}
const { native } = createRequire(import.meta.url)('../dist/router.js') as {
  native: { NativeRouter: { prototype: Core } }
}
const { NativeRouter } = native
const configure = vi.spyOn(NativeRouter.prototype, 'configure')
afterEach(() => configure.mockClear())

/** Adds a provider `mine` to the router that was made last. */
function addPanicking(place: string, times = 1): void {
  const core = configure.mock.contexts.at(-1) as Core
  expect(JSON.parse(core.addPanickingProvider?.('mine', place, times) ?? '{}')).toEqual({ ok: null })
}

/** A router whose deployment panics, and takes one call at a time. */
function panicking(place: string, times?: number): CompletionRouter {
  const router = new CompletionRouter({ cache: {} })
  addPanicking(place, times)
  return router.deploy('default', 'mine::m', { maxConcurrent: 1 })
}

/** Nothing is held, the next is answered, and the router can be closed. */
async function expectSound(router: CompletionRouter): Promise<void> {
  const { inFlight, waiting, groups } = router.stats()
  expect({ inFlight, waiting, held: groups['default']?.deployments[0]?.inFlight }).toEqual({
    inFlight: 0,
    waiting: 0,
    held: 0,
  })
  expect(`${await router.invoke('default', { message: 'and now?' })}`).toBe('one two')
  await router.close()
}

const bug = (place: string): object => ({
  name: 'ThrydError',
  code: 'ERR_BUG',
  retryable: false,
  message: expect.stringContaining(`a defect in ${place}`) as string,
})

// What is shipped has no such provider.
describe.skipIf(NativeRouter.prototype.addPanickingProvider === undefined)('a panic', () => {
  test.each(['write', 'answer', 'charged', 'cacheable'])('in %s is ERR_BUG for its callers alone', async (place) => {
    const router = panicking(place)
    // One after the other, so that it is known whose call panics.
    expect(await caught(router.invoke('default', { message: 'Hi' }))).toMatchObject(bug(place))
    const texts = Array.from({ length: 5 }, (_, index) => `another ${index}`)
    const others = await Promise.all(texts.map((message) => router.invoke('default', { message })))
    expect(others.map(String)).toEqual(texts.map(() => 'one two'))
    await expectSound(router)
  })

  test('leaves those who wait in the same line their turn', async () => {
    const router = panicking('answer', 3)
    const calls = Array.from({ length: 10 }, (_, index) => router.invoke('default', { message: `${index}` }))
    const results = await Promise.allSettled(calls)
    const failed = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))
    expect(failed).toHaveLength(3)
    for (const error of failed) expect(error).toMatchObject(bug('answer'))
    await expectSound(router)
  })

  test.each(['answer', 'event', 'charged'])('in %s ends a stream, once', async (place) => {
    const router = panicking(place)
    const stream = router.stream('default', { message: 'Hi' })
    const chunks = stream[Symbol.asyncIterator]()
    const read = async (): Promise<unknown[]> => {
      const all = []
      for (let step = await chunks.next(); !step.done; step = await chunks.next()) all.push(step.value)
      return all
    }
    const error = await caught(read())
    expect(error).toMatchObject(bug(place))
    expect(await chunks.next()).toEqual({ done: true, value: undefined })
    expect(await caught(stream.completion())).toBe(error)
    await expectSound(router)
  })

  test('in a batch stands in the place of its result', async () => {
    const router = panicking('answer')
    const requests = Array.from({ length: 5 }, (_, index) => ({ message: `${index}` }))
    const results = await collected(router.invokeMany('default', requests, { concurrency: 1 }))
    expect(results[0]).toMatchObject(bug('answer'))
    expect(results.slice(1).map(String)).toEqual(Array.from({ length: 4 }, () => 'one two'))
    await expectSound(router)
  })

  test('while texts are batched is ERR_BUG, and nobody waits for a batch that is never made', async () => {
    const router = new EmbeddingRouter()
    addPanicking('batch')
    router.deploy('default', 'mine::m')
    expect(await caught(router.invoke('default', { input: ['a', 'b', 'c'] }))).toMatchObject({ code: 'ERR_BUG' })
    expect(router.stats()).toMatchObject({ inFlight: 0, waiting: 0 })
    await router.close()
  })

  test.each(['write', 'answer', 'charged', 'cacheable'])('in %s is 500 for a client of toFetch', async (place) => {
    for (const stream of [false, true]) {
      // Charged is when a stream has been shown.
      if (stream && place === 'charged') continue
      const router = panicking(place)
      const error = await refused(await chat(toFetch({ completion: router }), 'Hi', { stream }))
      expect(error).toMatchObject({ status: 500, type: 'server_error', code: 'internal_error' })
      expect(error.message).not.toContain('defect in')
      await expectSound(router)
    }
  })

  test('in the middle of a stream is told to a client of toFetch, whose body breaks', async () => {
    const router = panicking('event')
    const { data, error } = await untilItBreaks(await chat(toFetch({ completion: router }), 'Hi', { stream: true }))
    expect(data.at(-1)).toContain('internal_error')
    expect(error).toMatchObject(bug('event'))
    await expectSound(router)
  })

  test('in a method that answers at once is thrown by it', async () => {
    const router = new CompletionRouter()
    addPanicking('supports')
    const error = thrownBy(() => router.deploy('default', 'mine::m'))
    expect(error).toMatchObject(bug('supports'))
    expect(error.stack).toContain('panics.test')
    router.deploy('default', 'mine::m')
    await expectSound(router)
  })
})
