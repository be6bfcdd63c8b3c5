import { getEventListeners } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type Socket, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { type Behaviour, FaultServer } from 'thryd/testing'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { CompletionRouter, type CustomProvider, EmbeddingRouter, type RouterOptions } from '..'
import { caught, collected } from './support/caught'
import { SOON, expectIdle } from './support/idle'
import { CLOSED, TRIES, expectWithin } from './support/tries'

const REJECTED = { ...CLOSED, median: 10 }

type Routers = CompletionRouter | EmbeddingRouter

interface Stage {
  /** What the server does with the first requests, one each; after that all is well. */
  first?: Behaviour[]
  options?: RouterOptions
  /** Begins what is to be cancelled; the others that it needs are given to `others`, and end after it. */
  begin: (router: never, signal: AbortSignal, others: Promise<unknown>[]) => Promise<unknown>
  /** Settles when the call is where it is to be cancelled. */
  reached?: (router: Routers, server: FaultServer) => Promise<unknown>
  kind?: typeof CompletionRouter | typeof EmbeddingRouter
  /** Requests that have come when the signal fires. @default 1 */
  sent?: number
  /** Whether another may have been on its way just then. */
  isRace?: boolean
  /** Makes the deployment fit again, if it is not. */
  mend?: (router: CompletionRouter) => unknown
}

const hi = { message: 'Hi' }
const received = (count: number) => (_router: Routers, server: FaultServer) =>
  server.waitFor(() => server.counts.requests === count)
const tokens = (_router: Routers, server: FaultServer) => server.waitFor(() => server.counts.tokens >= 1)
const waiting = (router: Routers) => vi.waitFor(() => expect(router.stats().waiting).toBe(1), SOON)
const turn = () => new Promise((resolve) => setImmediate(resolve))
const invoke = (router: CompletionRouter, signal: AbortSignal) => router.invoke('default', hi, { signal })

const folder = mkdtempSync(join(tmpdir(), 'thryd-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const file = () => join(folder, `${(files += 1)}.redb`)

/** Gives itself back at the end. */
async function read(router: CompletionRouter, signal: AbortSignal, options = {}): Promise<void> {
  for await (const chunk of router.stream('default', hi, { signal, ...options })) void chunk
}

const stages: Record<string, () => Stage> = {
  'in the turn of the call': () => ({ begin: invoke, reached: () => Promise.resolve(), sent: 0, isRace: true }),
  'while the cache is opened': () => ({
    options: { cache: file() },
    begin: invoke,
    reached: () => Promise.resolve(),
    sent: 0,
    isRace: true,
  }),
  'in line': () => ({
    first: ['hang'],
    begin: async (router: CompletionRouter, signal, others) => {
      const other = new AbortController()
      others.push(caught(router.invoke('default', { message: 'before it' }, { signal: other.signal })))
      await vi.waitFor(() => expect(router.stats().groups['default']?.deployments[0]?.inFlight).toBe(1), SOON)
      try {
        await invoke(router, signal)
      } finally {
        other.abort()
      }
    },
    reached: async (router, server) => {
      await received(1)(router, server)
      await waiting(router)
    },
  }),
  'before the headers': () => ({ first: ['hang'], begin: invoke, reached: received(1) }),
  'in the middle of a whole answer': () => ({
    first: ['stall'],
    begin: invoke,
    reached: async (router, server) => {
      await received(1)(router, server)
      // The headers and half of the body are on their way.
      await new Promise((resolve) => setTimeout(resolve, 20))
    },
  }),
  'in a pause before a retry': () => ({
    first: ['status-503'],
    options: { retry: { baseDelayMs: 3_600_000, maxDelayMs: 3_600_000 } },
    begin: invoke,
    reached: async (router, server) => {
      await received(1)(router, server)
      await vi.waitFor(() => expect(router.stats().groups['default']?.deployments[0]?.failed).toBe(1), SOON)
    },
  }),
  'while a deployment rests': () => ({
    first: [{ status: 429, retryAfterMs: 60_000 }],
    options: { retry: { maxDelayMs: 600_000 }, timeouts: { queueMs: 600_000 } },
    begin: invoke,
    mend: (router) => router.addProvider(server.provider()),
    reached: async (router, server) => {
      await received(1)(router, server)
      await waiting(router)
    },
  }),
  'when all who were joined leave': () => ({
    first: ['hang'],
    begin: async (router: CompletionRouter, signal, others) => {
      const calls = Array.from({ length: 5 }, () => invoke(router, signal))
      others.push(...calls.map(caught))
      await calls[4]
    },
    reached: received(1),
  }),
  'before a stream is read': () => ({
    begin: async (router: CompletionRouter, signal) => {
      const stream = router.stream('default', hi, { signal })
      await turn()
      await turn()
      for await (const chunk of stream) void chunk
    },
    reached: () => Promise.resolve(),
    sent: 0,
  }),
  'before the first token of a stream': () => ({ first: ['hang'], begin: read, reached: received(1) }),
  'between two tokens': () => ({ first: ['stall-1'], begin: read, reached: tokens }),
  'while a stream is assembled': () => ({
    first: ['stall-1'],
    begin: (router: CompletionRouter, signal) => read(router, signal, { buffer: true }),
    reached: tokens,
  }),
  'inside completion()': () => ({
    first: ['stall-1'],
    begin: (router: CompletionRouter, signal) => router.stream('default', hi, { signal }).completion(),
    reached: tokens,
  }),
  'in a batch': () => ({
    first: ['hang'],
    begin: (router: CompletionRouter, signal) => {
      const requests = Array.from({ length: 20 }, (_, index) => ({ message: `${index}` }))
      return collected(router.invokeMany('default', requests, { signal }))
    },
    reached: async (router, server) => {
      await received(1)(router, server)
      await vi.waitFor(() => expect(router.stats().waiting).toBe(19), SOON)
    },
  }),
  'while a batch waits for its requests': () => ({
    begin: (router: CompletionRouter, signal) => {
      const requests = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) }
      return collected(router.invokeMany('default', requests, { signal }))
    },
    reached: turn,
    sent: 0,
  }),
  'while texts are embedded': () => ({
    kind: EmbeddingRouter,
    first: ['hang'],
    begin: (router: EmbeddingRouter, signal) => router.invoke('default', { input: ['a', 'b', 'a'] }, { signal }),
    reached: received(1),
  }),
}

let server: FaultServer
beforeEach(async () => {
  server = await FaultServer.start()
})
afterEach(() => server.close())

/** A router to the server, whose one deployment takes one request at a time. */
function routed({ kind = CompletionRouter, options = {}, first = [] }: Stage): Routers {
  server.script('m', first)
  const router = new kind(options)
  return router.addProvider(server.provider()).deploy('default', 'faulty::m', { maxConcurrent: 1 })
}

/** Asks for something that the server answers. */
function ask(router: Routers): Promise<{ deployment: string }> {
  if (router instanceof EmbeddingRouter) return router.invoke('default', { input: 'next' })
  return router.invoke('default', { message: 'next' })
}

describe('a signal that fires', () => {
  test.each(Object.keys(stages))('%s ends the call at once and leaves nothing', async (name) => {
    const rejected: number[] = []
    const closed: number[] = []
    for (let trial = 0; trial < TRIES; trial += 1) {
      const stage = stages[name]?.() as Stage
      server.reset()
      const router = routed(stage)
      const controller = new AbortController()
      const reason = Object.freeze({ trial })
      const others: Promise<unknown>[] = []
      const ended = caught(stage.begin(router as never, controller.signal, others)) as Promise<unknown>
      await stage.reached?.(router, server)
      const from = performance.now()
      controller.abort(reason)
      expect(await ended).toBe(reason)
      rejected.push(performance.now() - from)
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
      await server.waitFor(() => server.counts.open === 0)
      closed.push(performance.now() - from)
      await Promise.all(others)
      stage.mend?.(router as CompletionRouter)
      expect(await ask(router)).toMatchObject({ deployment: 'faulty::m' })
      const sent = (stage.sent ?? 1) + 1
      expect(server.counts.requests).toBeGreaterThanOrEqual(sent)
      expect(server.counts.requests).toBeLessThanOrEqual(stage.isRace ? sent + 1 : sent)
      await expectIdle(router)
      await router.close()
    }
    expectWithin(rejected, REJECTED)
    expectWithin(closed, CLOSED)
  })

  test('gives the slot to the next call in the same turn, also to one that does not wait at all', async () => {
    const router = routed({ begin: invoke, first: [] }) as CompletionRouter
    for (let trial = 0; trial < 50; trial += 1) {
      server.script('m', ['hang'])
      const controller = new AbortController()
      const before = server.counts.requests
      const ended = caught(invoke(router, controller.signal))
      await server.waitFor(() => server.counts.requests > before)
      controller.abort('enough')
      const next = await router.invoke('default', { message: `next ${trial}` }, { queueMs: 0 })
      expect(next.queuedMs).toBe(0)
      expect(await ended).toBe('enough')
    }
  })

  test('gives the slot of a call or stream to the next stream or call in the same turn', async () => {
    const router = routed({ begin: invoke, first: [] }) as CompletionRouter
    for (let trial = 0; trial < 200; trial += 1) {
      server.script('m', ['hang'])
      const before = server.counts.requests
      const controller = new AbortController()
      const leave = { signal: controller.signal }
      const begun = trial % 4 < 2 ? invoke(router, leave.signal) : router.stream('default', hi, leave).completion()
      const left = caught(begun)
      await server.waitFor(() => server.counts.requests > before)
      controller.abort('enough')
      const request = { message: `next ${trial}` }
      if (trial % 2 === 0) await router.invoke('default', request, { queueMs: 0 })
      else await router.stream('default', request, { queueMs: 0 }).completion()
      expect(await left).toBe('enough')
    }
  })

  test('while a connection is opened gives it up', async () => {
    const sockets: Socket[] = []
    // Says nothing, so that no TLS session comes about.
    const mute = createServer((socket) => void sockets.push(socket.on('error', () => undefined)))
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    const { port } = mute.address() as AddressInfo
    const router = new CompletionRouter({ timeouts: { connectMs: 600_000 } })
    router.addProvider({ type: 'openai-compatible', name: 'mute', baseUrl: `https://127.0.0.1:${port}/v1` })
    router.deploy('default', 'mute::m', { maxConcurrent: 1 })
    const [rejected, closed]: [number[], number[]] = [[], []]
    for (let trial = 0; trial < TRIES; trial += 1) {
      const controller = new AbortController()
      const ended = caught(invoke(router, controller.signal)) as Promise<unknown>
      await vi.waitFor(() => expect(sockets).toHaveLength(trial + 1), SOON)
      const gone = new Promise((resolve) => sockets[trial]?.on('close', resolve).resume())
      const from = performance.now()
      controller.abort('enough')
      expect(await ended).toBe('enough')
      rejected.push(performance.now() - from)
      await gone
      closed.push(performance.now() - from)
      await expectIdle(router)
    }
    mute.close()
    expectWithin(rejected, REJECTED)
    expectWithin(closed, CLOSED)
  })

  test('in a provider written in JavaScript ends the call, whatever the provider does with it', async () => {
    const seen: AbortSignal[] = []
    const begun = (signal: AbortSignal) => void seen.push(signal)
    const forEver = new Promise<never>(() => undefined)
    const untilAborted = (signal: AbortSignal) =>
      new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('left'))))
    const complete: CustomProvider['complete'][] = [
      (_request, { signal }) => (begun(signal), forEver),
      (_request, { signal }) => (begun(signal), untilAborted(signal)),
      async function* (_request, { signal }) {
        yield 'one '
        begun(signal)
        await forEver
      },
      async function* (_request, { signal }) {
        yield 'one '
        begun(signal)
        await untilAborted(signal)
      },
      async function* (_request, { signal }) {
        begun(signal)
        while (!signal.aborted) {
          yield 'again and '
          await turn()
        }
        throw new Error('left')
      },
    ]
    for (const [place, method] of complete.entries()) {
      const name = `mine${place}`
      const router = new CompletionRouter({ providers: [{ name, complete: method as never }] })
      router.deploy('default', `${name}::m`, { maxConcurrent: 1 })
      for (const call of [invoke, read]) {
        const controller = new AbortController()
        const ended = caught(call(router, controller.signal)) as Promise<unknown>
        const before = seen.length
        await vi.waitFor(() => expect(seen).toHaveLength(before + 1), SOON)
        const reason = new RangeError('mine')
        controller.abort(reason)
        expect(await ended).toBe(reason)
        await vi.waitFor(() => expect(seen.at(-1)?.aborted).toBe(true), SOON)
        await expectIdle(router)
      }
      await router.close()
    }
  })

  test('after the answer does nothing', async () => {
    const router = routed({ begin: invoke }) as CompletionRouter
    const controller = new AbortController()
    const { signal } = controller
    const answer = await router.invoke('default', hi, { signal })
    const stream = router.stream('default', { message: 'as a stream' }, { signal })
    expect(await collected(stream)).not.toEqual([])
    controller.abort()
    expect(`${answer}`).toBe('Hi')
    expect(`${await stream.completion()}`).toBe('as a stream')
    expect(server.counts.aborted).toBe(0)
    await router.close()
  })

  test('while a request is written sends nothing', async () => {
    const router = routed({ begin: invoke }) as CompletionRouter
    const controller = new AbortController()
    const { signal } = controller
    const message = {
      toJSON() {
        controller.abort('while it was written')
        return 'Hi'
      },
    } as unknown as string
    expect(await caught(router.invoke('default', { message }, { signal }))).toBe('while it was written')
    const again = new AbortController()
    const batch = [
      { message: { toJSON: () => (again.abort('in a batch'), 'Hi') } as unknown as string },
      { message: 'never' },
    ]
    expect(await caught(collected(router.invokeMany('default', batch, { signal: again.signal })))).toBe('in a batch')
    await expectIdle(router)
    expect(server.counts.served).not.toHaveProperty('ok')
    await router.close()
  })
})
