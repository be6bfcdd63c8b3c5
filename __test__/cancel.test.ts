import { getEventListeners } from 'node:events'

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { CompletionRouter, type RouterOptions } from '..'
import { caught, collected } from './support/caught'
import { type Answer, TestServer, beginEvents, echo, event, inTurn, piece } from './support/server'
import { expectClosed } from './support/tries'

let server: TestServer

// One for each test: what an earlier test gave up may still be on its way.
beforeEach(async () => {
  server = await TestServer.start()
})
afterEach(() => server.close())

function routed(options: RouterOptions = {}, deploy = {}): CompletionRouter {
  const router = new CompletionRouter(options)
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
  return router.deploy('default', 'local::m', deploy)
}

/** Never answers. */
const silence: Answer = () => undefined

/** Nothing is under way or waited for, and as many calls as this were charged. */
async function expectIdle(router: CompletionRouter, charged: number): Promise<void> {
  // What was cancelled is let go on another thread.
  await vi.waitFor(() => expect(router.stats()).toMatchObject({ inFlight: 0, waiting: 0 }), {
    interval: 1,
    timeout: 10_000,
  })
  const [deployment] = router.stats().groups['default']?.deployments ?? []
  expect(deployment?.inFlight).toBe(0)
  expect(deployment?.window.requests).toBe(charged)
}

/** Milliseconds from `act` to the end of `promise`. */
async function timed(act: () => void, promise: Promise<unknown>): Promise<number> {
  const from = performance.now()
  act()
  await promise.catch(() => undefined)
  return performance.now() - from
}

describe('a signal that fires', () => {
  test('before the call sends nothing', async () => {
    const reason = new Error('never mind')
    const router = routed()
    const signal = AbortSignal.abort(reason)
    expect(await caught(router.invoke('default', { message: 'Hi' }, { signal }))).toBe(reason)
    const stream = router.stream('default', { message: 'Hi' }, { signal })
    expect(await caught(stream.completion())).toBe(reason)
    expect(await caught(collected(router.invokeMany('default', [{ message: 'Hi' }], { signal })))).toBe(reason)
    // Whatever had been sent before this would have come before it.
    await router.invoke('default', { message: 'last' })
    expect(server.seen).toHaveLength(1)
    await expectIdle(router, 1)
  })

  test('during the call rejects at once with its reason, and closes the socket', async () => {
    server.answer = silence
    await expectClosed(async () => {
      server.seen.length = 0
      const router = routed()
      const controller = new AbortController()
      const answer = router.invoke('default', { message: 'Hi' }, { signal: controller.signal })
      const { closed } = await server.received()
      expect(router.stats().inFlight).toBe(1)
      const reason = { any: 'thing' }
      const rejectedMs = await timed(() => controller.abort(reason), answer)
      expect(await caught(answer)).toBe(reason)
      await closed
      // What may have reached the provider stays charged.
      await expectIdle(router, 1)
      return rejectedMs
    })
  })

  test('with no reason is an AbortError', async () => {
    server.answer = silence
    const controller = new AbortController()
    const answer = routed().invoke('default', { message: 'Hi' }, { signal: controller.signal })
    await server.received()
    controller.abort()
    expect(await caught(answer)).toMatchObject({ name: 'AbortError' })
  })

  test('while the call waits in line gives its place to the next', async () => {
    await expectClosed(async () => {
      let finish = (): void => undefined
      server.seen.length = 0
      server.answer = inTurn((seen, response) => {
        finish = () => void echo(seen, response)
      }, echo)
      const router = routed({}, { maxConcurrent: 1 })
      const first = router.invoke('default', { message: 'first' })
      await server.received()
      const controller = new AbortController()
      const second = router.invoke('default', { message: 'second' }, { signal: controller.signal })
      const third = router.invoke('default', { message: 'third' })
      await untilWaiting(router, 2)
      const rejectedMs = await timed(() => controller.abort('gone'), second)
      await expect(second).rejects.toBe('gone')
      finish()
      expect(`${await first} ${await third}`).toBe('first third')
      expect(server.seen).toHaveLength(2)
      await expectIdle(router, 2)
      return rejectedMs
    })
  })

  test('between two chunks ends the stream and closes the socket', async () => {
    server.answer = async (_seen, response) => {
      beginEvents(response)
      await event(response, piece({ content: 'Hel' }))
    }
    const router = routed()
    const controller = new AbortController()
    const stream = router.stream('default', { message: 'Hi' }, { signal: controller.signal })
    const reading = caught(
      (async () => {
        for await (const chunk of stream) expect(chunk).toEqual({ type: 'content', delta: 'Hel' })
      })(),
    )
    const { closed } = await server.received()
    setImmediate(() => controller.abort('enough'))
    expect(await reading).toBe('enough')
    await closed
    await expect(stream.completion()).rejects.toBe('enough')
    await expectIdle(router, 1)
  })

  test('by the clock, or as one of several, is like any other', async () => {
    server.answer = silence
    const router = routed()
    const late = await caught(router.invoke('default', { message: 'a' }, { signal: AbortSignal.timeout(20) }))
    expect(late).toMatchObject({ name: 'TimeoutError' })
    expect(late).toBeInstanceOf(DOMException)
    const controller = new AbortController()
    const signal = AbortSignal.any([controller.signal, AbortSignal.timeout(60_000)])
    const answer = router.invoke('default', { message: 'b' }, { signal })
    // The first may have been over before it was sent.
    await server.until(() => server.seen.some(({ text }) => text.includes('"b"')))
    controller.abort('first of them')
    await expect(answer).rejects.toBe('first of them')
  })

  test('during a batch ends all of it', async () => {
    server.answer = silence
    const router = routed()
    const controller = new AbortController()
    const requests = Array.from({ length: 20 }, (_, index) => ({ message: `${index}` }))
    const reading = caught(
      collected(router.invokeMany('default', requests, { concurrency: 5, signal: controller.signal })),
    )
    await server.received(5)
    const sockets = server.seen.map(({ closed }) => closed)
    controller.abort('enough')
    expect(await reading).toBe('enough')
    await Promise.all(sockets)
    expect(server.seen).toHaveLength(5)
    await expectIdle(router, 5)
  })
})

/** There is no event for a line that grew, so this looks again and again. */
async function untilWaiting(router: CompletionRouter, count: number): Promise<void> {
  while (router.stats().waiting < count) await new Promise((resolve) => setImmediate(resolve))
}

describe('a signal that is used again and again', () => {
  test('keeps no listener, however the calls ended', async () => {
    const router = routed({ cache: {}, retry: { maxRetries: 0 } })
    const { signal } = new AbortController()
    for (let round = 0; round < 10; round += 1) {
      const calls = Array.from({ length: 100 }, (_, index) =>
        router.invoke('default', { message: `${round} ${index % 50}` }, { signal }),
      )
      await Promise.all(calls)
    }
    await caught(router.invoke('nope', { message: 'Hi' }, { signal }))
    await caught(router.invoke('default', {}, { signal }))
    for await (const chunk of router.stream('default', { message: 'a b' }, { signal })) void chunk
    for await (const chunk of router.stream('default', { message: 'c d' }, { signal })) {
      void chunk
      break
    }
    for await (const answer of router.invokeMany('default', [{ message: 'e' }, { message: 'f' }], { signal })) {
      void answer
      break
    }
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    expect(server.seen.length).toBeGreaterThanOrEqual(500)
  })
})

describe('one of several equal callers', () => {
  const equal = { message: 'the same for all' }

  test('that leaves ends nothing for the others', async () => {
    let finish = (): void => undefined
    server.answer = (seen, response) => {
      finish = () => void echo(seen, response)
    }
    const router = routed({ cache: {} })
    const controllers = Array.from({ length: 200 }, () => new AbortController())
    const calls = controllers.map(({ signal }) => router.invoke('default', equal, { signal }))
    const settled = Promise.allSettled(calls)
    await server.received()
    // The one that began it.
    controllers[0]?.abort('gone')
    await expect(calls[0]).rejects.toBe('gone')
    finish()
    const results = await settled
    const answers = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    expect(answers).toHaveLength(199)
    expect(new Set(answers.map(String))).toEqual(new Set(['the same for all']))
    expect(server.seen).toHaveLength(1)
    await expectIdle(router, 1)
  })

  test('that leaves last ends the call', async () => {
    server.answer = silence
    const router = routed({ cache: {} })
    const controller = new AbortController()
    const calls = Array.from({ length: 5 }, () => router.invoke('default', equal, { signal: controller.signal }))
    const settled = Promise.allSettled(calls)
    const { closed } = await server.received()
    controller.abort('all of us')
    await closed
    expect((await settled).map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => 'rejected'))
    await expectIdle(router, 1)
    server.answer = echo
    expect(await router.invoke('default', equal)).toMatchObject({ content: 'the same for all', cache: 'miss' })
  })

  test('has a clock of its own', async () => {
    let finish = (): void => undefined
    server.answer = (seen, response) => {
      finish = () => void echo(seen, response)
    }
    const router = routed({ cache: {} })
    const patient = router.invoke('default', equal)
    const hastyEnd = caught(router.invoke('default', equal, { totalMs: 30 }))
    await server.received()
    expect(await hastyEnd).toMatchObject({ name: 'TimeoutError', code: 'ERR_TIMEOUT', phase: 'total' })
    finish()
    expect(`${await patient}`).toBe('the same for all')
    expect(server.seen).toHaveLength(1)
  })
})
