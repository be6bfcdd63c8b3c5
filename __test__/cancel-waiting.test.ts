import { FaultServer } from 'thryd/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { CompletionRouter, EmbeddingRouter } from '..'
import { caught } from './support/caught'
import { SOON } from './support/idle'

type Routers = CompletionRouter | EmbeddingRouter
type Begin = (router: never, signal: AbortSignal, place: number) => Promise<unknown>

let server: FaultServer
beforeEach(async () => {
  server = await FaultServer.start()
})
afterEach(() => server.close())

/** What is feared is a race, that is lost once in some hundred tries. */
const TRIES = 100
/** For machines that are busy: it takes a second or two. */
const LONG = { timeout: 60_000 }

const invoke: Begin = (router: CompletionRouter, signal, place) =>
  router.invoke('default', { message: `Hi ${place}` }, { signal })
const stream: Begin = (router: CompletionRouter, signal) =>
  router.stream('default', { message: 'Hi' }, { signal }).completion()
const embed: Begin = (router: EmbeddingRouter, signal) => router.invoke('default', { input: ['a', 'b'] }, { signal })

/** A router whose one deployment will ask to be left alone for long, and for which everybody waits. */
function patient(kind: typeof CompletionRouter | typeof EmbeddingRouter): Routers {
  server.reset()
  server.script('m', [{ status: 429, retryAfterMs: 60_000 }])
  const router = new kind({ retry: { maxDelayMs: 600_000 }, timeouts: { queueMs: 600_000 } })
  return router.addProvider(server.provider()).deploy('default', 'faulty::m', { maxConcurrent: 1 })
}

function next(router: Routers): Promise<unknown> {
  if (router instanceof EmbeddingRouter) return router.invoke('default', { input: 'next' })
  return router.invoke('default', { message: 'next' })
}

describe('what was cancelled while it waited', () => {
  test.each([
    ['a call', CompletionRouter, invoke, 1],
    ['each of many calls', CompletionRouter, invoke, 20],
    ['a stream', CompletionRouter, stream, 1],
    ['texts to embed', EmbeddingRouter, embed, 1],
  ])('is not sent by whatever mends the deployment in the same turn: %s', LONG, async (_name, kind, begin, count) => {
    for (let trial = 0; trial < TRIES; trial += 1) {
      const router = patient(kind)
      const controllers = Array.from({ length: count }, () => new AbortController())
      const ended = controllers.map(({ signal }, place) => caught(begin(router as never, signal, place)))
      await server.waitFor(() => server.counts.served['status-429'] === 1)
      await vi.waitFor(() => expect(router.stats().waiting).toBe(count), SOON)
      for (const controller of controllers) controller.abort('enough')
      router.addProvider(server.provider())
      await next(router)
      expect(await Promise.all(ended)).toEqual(controllers.map(() => 'enough'))
      expect(server.requests.map(({ served }) => served)).toEqual(['status-429', 'ok'])
      await router.close()
    }
  })

  test('is sent all the same for somebody else who wants the same answer', LONG, async () => {
    for (let trial = 0; trial < TRIES; trial += 1) {
      const router = patient(CompletionRouter) as CompletionRouter
      const controller = new AbortController()
      const ended = caught(invoke(router as never, controller.signal, 0))
      await server.waitFor(() => server.counts.served['status-429'] === 1)
      await vi.waitFor(() => expect(router.stats().waiting).toBe(1), SOON)
      const before = trial % 2 === 0 && router.invoke('default', { message: 'Hi 0' })
      controller.abort('enough')
      const other = before || router.invoke('default', { message: 'Hi 0' })
      router.addProvider(server.provider())
      await expect(other).resolves.toMatchObject({ deployment: 'faulty::m' })
      expect(await ended).toBe('enough')
      expect(server.counts.requests).toBe(2)
      await router.close()
    }
  })
})
