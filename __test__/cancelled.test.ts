import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { CompletionRouter, type CustomProvider } from '..'
import { caught } from './support/caught'

const COUNT = 10_000
const IN_FLIGHT = 16
const PLENTY = 1_000_000_000

/** Uniform from 0 to 1, the same in every run. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    // mulberry32
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** One token more or less would show. */
const request = { message: 'Hi', max_completion_tokens: 1000 }

/**
 * It never answers, and it is asked in the same breath in which the request counts as sent: so what it was asked is exactly
 * what may be charged. A server on a socket may never see what was cut on its way.
 */
class Silent implements CustomProvider {
  name = 'silent'
  maxConcurrent = IN_FLIGHT
  rpm = PLENTY
  tpm = PLENTY
  asked = 0
  open = 0
  most = 0

  complete(_request: object, { signal }: { signal: AbortSignal }): Promise<string> {
    this.asked += 1
    this.open += 1
    this.most = Math.max(this.most, this.open)
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        this.open -= 1
        reject(signal.reason as Error)
      })
    })
  }
}

let silent: Silent
let router: CompletionRouter

beforeEach(() => {
  silent = new Silent()
  router = new CompletionRouter({ providers: [silent], timeouts: { queueMs: PLENTY } })
  router.deploy('default', 'silent::a', { rpm: PLENTY, tpm: PLENTY, maxConcurrent: IN_FLIGHT / 2 })
  router.deploy('default', 'silent::b', { rpm: PLENTY, tpm: PLENTY })
})
afterEach(() => router.close())

/** Calls once, is cancelled, and rejects with the reason; as a promise or as a stream. */
function cancelled(index: number, random: () => number): Promise<unknown> {
  const controller = new AbortController()
  const { signal } = controller
  const reason = `reason ${index}`
  const abort = () => controller.abort(reason)
  const [when, isStream, priority] = [random(), random() < 0.2, Math.floor(random() * 3)]
  // Before it is called, in the same turn, in one of the next, or any time later.
  if (when < 0.1) abort()
  // Equal calls would be one, but for this.
  const options = { signal, priority, cache: 'no-store' } as const
  const call = isStream
    ? router.stream('default', request, options).completion()
    : router.invoke('default', request, options)
  if (when < 0.2) abort()
  else if (when < 0.3) setImmediate(abort)
  // Long enough for most of them to be in line before the last are cancelled, also in a build that is not optimised.
  else setTimeout(abort, random() * 6000)
  return caught(call).then((error) => (error as unknown) === reason)
}

/** Calls to which the I/O thread has not come yet. */
function behind(): number {
  const { inFlight, waiting } = router.stats()
  return inFlight - waiting - silent.open
}

describe(`${COUNT} calls that are cancelled at any moment`, () => {
  test(
    'leave nothing in flight, nothing in line, and nothing charged but what was sent',
    { timeout: 60_000 },
    async () => {
      // What one call reserves.
      const first = new AbortController()
      const call = caught(router.invoke('default', request, { signal: first.signal }))
      await vi.waitFor(() => expect(silent.asked).toBe(1), { interval: 1, timeout: 10_000 })
      const each = router.stats().providers?.['silent']?.window.tokens ?? 0
      expect(each).toBeGreaterThan(1000)
      first.abort()
      await call

      const random = seeded(7)
      const calls = []
      for (let index = 0; index < COUNT; index += 1) {
        calls.push(cancelled(index, random))
        if (index % 50 > 0) continue
        // A machine that is busy is not left behind: there would be nobody in line before the last are cancelled.
        do await new Promise((resolve) => setImmediate(resolve))
        while (behind() > COUNT / 10)
      }
      expect((await Promise.all(calls)).filter((isReason) => !isReason)).toEqual([])
      // What was cancelled is let go on another thread.
      await vi.waitFor(() => expect(router.stats()).toMatchObject({ inFlight: 0, waiting: 0 }), {
        interval: 1,
        timeout: 10_000,
      })
      await vi.waitFor(() => expect(silent.open).toBe(0), { interval: 1, timeout: 10_000 })

      const stats = router.stats()
      const deployments = stats.groups['default']?.deployments ?? []
      const sum = (of: (one: (typeof deployments)[number]) => number) =>
        deployments.reduce((all, one) => all + of(one), 0)
      const window = { requests: silent.asked, tokens: silent.asked * each }
      // Some of them in flight, most of them not.
      expect(silent.asked).toBeGreaterThan(IN_FLIGHT * 4)
      expect(silent.asked).toBeLessThan(COUNT / 2)
      expect(silent.most).toBe(IN_FLIGHT)
      expect(deployments.map((one) => one.inFlight)).toEqual([0, 0])
      expect({ requests: sum((one) => one.window.requests), tokens: sum((one) => one.window.tokens) }).toEqual(window)
      expect(stats.providers?.['silent']).toMatchObject({ inFlight: 0, window })
      expect(stats.groups['default']?.waiting).toBe(0)
    },
  )

  test('leave every slot to whoever comes next', { timeout: 60_000 }, async () => {
    const random = seeded(11)
    await Promise.all(Array.from({ length: 1000 }, (_, index) => cancelled(index, random)))
    const before = silent.asked
    const controller = new AbortController()
    const calls = Array.from({ length: IN_FLIGHT }, () =>
      caught(router.invoke('default', request, { signal: controller.signal, cache: 'no-store' })),
    )
    await vi.waitFor(() => expect(silent.asked).toBe(before + IN_FLIGHT), { interval: 1, timeout: 10_000 })
    expect(router.stats()).toMatchObject({ waiting: 0, providers: { silent: { inFlight: IN_FLIGHT } } })
    controller.abort()
    await Promise.all(calls)
  })
})
