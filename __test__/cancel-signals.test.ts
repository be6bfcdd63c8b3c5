import { getEventListeners } from 'node:events'

import { type Behaviour, FaultServer } from 'thryd/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { CompletionRouter } from '..'
import { caught, collected } from './support/caught'
import { SOON, expectIdle } from './support/idle'

const hi = { message: 'Hi' }
const turn = () => new Promise((resolve) => setImmediate(resolve))
const invoke = (router: CompletionRouter, signal: AbortSignal) => router.invoke('default', hi, { signal })
const read = (router: CompletionRouter, signal: AbortSignal) => collected(router.stream('default', hi, { signal }))

let server: FaultServer
beforeEach(async () => {
  server = await FaultServer.start()
})
afterEach(() => server.close())

/** A router to the server, which does this with the first requests. */
function routed(...first: Behaviour[]): CompletionRouter {
  server.script('m', first)
  return new CompletionRouter().addProvider(server.provider()).deploy('default', 'faulty::m', { maxConcurrent: 1 })
}

describe('what the call rejects with is what the signal was aborted with', () => {
  class Mine extends Error {}
  const reasons = [
    null,
    false,
    0,
    '',
    'a text',
    Symbol('mine'),
    Object.freeze({ a: 1 }),
    new Mine('of mine'),
    [1],
    caught,
  ]

  test.each(reasons.map((reason) => [reason]))('%o', async (reason) => {
    const router = routed('hang', 'hang', 'hang')
    const batch = (signal: AbortSignal) => collected(router.invokeMany('default', [hi], { signal }))
    for (const call of [
      (signal: AbortSignal) => invoke(router, signal),
      (signal: AbortSignal) => read(router, signal),
      batch,
    ]) {
      const controller = new AbortController()
      const ended = caught(call(controller.signal)) as Promise<unknown>
      await vi.waitFor(() => expect(router.stats().groups['default']?.deployments[0]?.inFlight).toBe(1), SOON)
      controller.abort(reason)
      expect(await ended).toBe(reason)
      expect(await caught(call(controller.signal))).toBe(reason)
      await expectIdle(router)
    }
  })

  test('an AbortError of its own making if there was no reason', async () => {
    const router = routed('hang')
    const controller = new AbortController()
    const ended = caught(invoke(router, controller.signal)) as Promise<unknown>
    await server.waitFor(() => server.counts.requests === 1)
    controller.abort(undefined)
    expect(await ended).toBe(controller.signal.reason)
    expect(await ended).toMatchObject({ name: 'AbortError' })
  })
})

describe('a signal that calls share', () => {
  const COUNT = 10_000

  test('has one listener while they are under way, and no warning of a leak', async () => {
    const warnings: Error[] = []
    const onWarning = (warning: Error): void => void warnings.push(warning)
    process.on('warning', onWarning)
    const router = new CompletionRouter({ providers: [{ type: 'dummy', dummy: { latencyMs: 20 } }] })
    router.deploy('default', 'dummy::echo')
    const { signal } = new AbortController()
    const calls = Array.from({ length: 100 }, (_, index) =>
      router.invoke('default', { message: `${index}` }, { signal }),
    )
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    await Promise.all(calls)
    await turn()
    process.off('warning', onWarning)
    expect(warnings).toEqual([])
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })

  test(`keeps no listener of ${COUNT} calls, however they ended`, { timeout: 120_000 }, async () => {
    const faults = { status: { 500: 0.02 }, cut: 0.02, malformed: 0.02 }
    const retry = { maxRetries: 0, cooldownMs: 1 }
    const router = new CompletionRouter({ providers: [{ type: 'dummy', dummy: { faults } }], retry })
    for (const model of ['a', 'b']) router.deploy('default', `dummy::${model}`)
    const { signal } = new AbortController()
    const ends = { answered: 0, failed: 0, left: 0 }
    const one = async (index: number): Promise<void> => {
      const request = { message: `question ${index} of many` }
      try {
        if (index % 4 > 0) await router.invoke('default', request, { signal })
        else {
          for await (const chunk of router.stream('default', request, { signal })) {
            void chunk
            if (index % 8 === 0) {
              ends.left += 1
              return
            }
          }
        }
        ends.answered += 1
      } catch {
        ends.failed += 1
      }
    }
    for (let done = 0; done < COUNT; done += 500)
      await Promise.all(Array.from({ length: 500 }, (_, index) => one(done + index)))
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    for (const count of Object.values(ends)) expect(count).toBeGreaterThan(100)
    await expectIdle(router)
  })

  test('ends all of them at once when it fires', async () => {
    const router = new CompletionRouter({ providers: [{ type: 'dummy', dummy: { latencyMs: 3_600_000 } }] })
    router.deploy('default', 'dummy::echo')
    const controller = new AbortController()
    const { signal } = controller
    const calls = Array.from({ length: 1000 }, (_, index) =>
      caught(router.invoke('default', { message: `${index}` }, { signal })),
    )
    await vi.waitFor(() => expect(router.stats().groups['default']?.deployments[0]?.inFlight).toBe(1000), SOON)
    controller.abort('all of you')
    expect(new Set<unknown>(await Promise.all(calls))).toEqual(new Set(['all of you']))
    await expectIdle(router)
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })
})
