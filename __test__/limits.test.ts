/**
 * The promise of `docs/limits.md` on a real clock, against a server that notes when requests come. That takes two minutes:
 * these tests run at the same time, in a file of their own, so that the rest of the suite runs beside them.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { type Completion, CompletionRouter, type DeployOptions, RateLimitError } from '..'
import { caught } from './support/caught'
import { TestServer, echo, question } from './support/server'
import { Stalls } from './support/stalls'

const MINUTE = 60_000
const RPM = 20
const CALLS = 50
/** Two full windows are behind the last call. */
const IDEAL = 2 * MINUTE
const options = { timeout: IDEAL + 60_000 }

/** Nobody's wait ends by its clock. */
const queueMs = 10 * MINUTE

const servers: TestServer[] = []
let stalls: Stalls
beforeAll(async () => {
  servers.push(await TestServer.start(), await TestServer.start(), await TestServer.start())
  // A window counts from when a call was admitted: what begins with the first call of a process is to be there by then.
  const url = servers[0]?.url as string
  const first = new CompletionRouter({ providers: [{ type: 'openai-compatible', name: 'local', baseUrl: url }] })
  await first.deploy('default', 'local::m').invoke('default', { message: 'before all others' })
  stalls = new Stalls(10)
})
afterAll(async () => {
  stalls[Symbol.dispose]()
  await Promise.all(servers.map((server) => server.close()))
})

/** When a request was seen to come, and how long before that it may have come, if nobody could look. */
interface Moment {
  at: number
  lateMs: number
}

/** A server of its own, when it received each question, and a router of it. */
function timed(place: number, deploy: DeployOptions): { router: CompletionRouter; received: Map<string, Moment> } {
  const server = servers[place] as TestServer
  const received = new Map<string, Moment>()
  server.answer = (seen, response) => {
    const at = performance.now()
    received.set(question(seen), { at, lateMs: stalls.longest(at - 1000) })
    return echo(seen, response)
  }
  const router = new CompletionRouter({ retry: { maxRetries: 0 } })
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
  return { router: router.deploy('default', 'local::m', deploy), received }
}

/** The most moments in any 60 s, both ends included. */
function mostInAMinute(moments: Moment[]): number {
  const from = (start: Moment) =>
    moments.filter(({ at }) => at >= start.at && at <= start.at - start.lateMs + MINUTE).length
  return Math.max(...moments.map(from))
}

/** Comes back as soon as `isSo`. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
}

/** When a call that is refused is told to come back. */
async function told(call: Promise<unknown>): Promise<number> {
  const error = await caught(call)
  expect(error).toBeInstanceOf(RateLimitError)
  return error['retryAfterMs'] as number
}

/** What a call was told lies between the estimates after it and before it, which are of whole milliseconds. */
function expectBetween(toldMs: number, after: number, before: number): void {
  expect(toldMs).toBeGreaterThanOrEqual(after - 1)
  expect(toldMs).toBeLessThanOrEqual(before + 1)
}

const name = (index: number) => `call ${index}`

describe.concurrent('a server that takes 20 requests a minute', () => {
  test(
    'never gets more in any 60 s, and 50 calls at once are through when the third window opens',
    options,
    async () => {
      const { router, received } = timed(0, { rpm: RPM })
      const called = performance.now()
      const answers = await Promise.all(
        Array.from({ length: CALLS }, (_, index) => router.invoke('default', { message: name(index) }, { queueMs })),
      )
      const moments = answers.map((answer) => received.get(answer.content) as Moment)
      expect(received.size).toBe(CALLS)
      expect(mostInAMinute(moments)).toBe(RPM)
      const last = Math.max(...moments.map(({ at }) => at)) - called
      expect(last).toBeGreaterThan(IDEAL)
      expect(last).toBeLessThan(IDEAL + 3000)
      const waits = answers.map(({ queuedMs }, index) => {
        const { at, lateMs } = moments[index] as Moment
        return Math.abs(at - called - queuedMs) - lateMs
      })
      expect(Math.max(...waits), 'what queuedMs says, against the clock').toBeLessThan(1000)
      const places = answers.map(({ queuePosition }) => queuePosition).toSorted((one, other) => one - other)
      expect(places).toEqual([
        ...Array.from({ length: RPM }, () => 0),
        ...Array.from({ length: CALLS - RPM }, (_, index) => index + 1),
      ])
      for (const { queuePosition, queuedMs } of answers) {
        const window = Math.ceil(queuePosition / RPM)
        expect(Math.abs(queuedMs - window * MINUTE), `the ${queuePosition}th of the line`).toBeLessThan(3000)
      }
      expect(router.stats()).toMatchObject({ inFlight: 0, waiting: 0 })
    },
  )

  test('gets them in the order in which they came', options, async () => {
    // One at a time, so that no socket overtakes another.
    const { router, received } = timed(1, { rpm: RPM, maxConcurrent: 1 })
    const order: string[] = []
    const calls: Promise<Completion>[] = []
    for (let index = 0; index < CALLS; index += 1) {
      const call = router.invoke('default', { message: name(index) }, { queueMs })
      calls.push(call.finally(() => order.push(name(index))))
      if (index < RPM) await call
      else await until(() => router.stats().waiting === index + 1 - RPM)
    }
    const estimate = () => router.estimateWaitMs('default', { message: 'one more' })
    const before = estimate()
    const retryAfterMs = await told(router.invoke('default', { message: 'one more' }, { queueMs: 0 }))
    expectBetween(retryAfterMs, estimate(), before)
    expect(Math.abs(before - IDEAL)).toBeLessThan(3000)
    const answers = await Promise.all(calls)
    const all = Array.from({ length: CALLS }, (_, index) => name(index))
    expect([...received.keys()]).toEqual(all)
    expect(order).toEqual(all)
    expect(answers.map(({ queuePosition }) => queuePosition)).toEqual(
      all.map((_, index) => Math.max(0, index + 1 - RPM)),
    )
    expect(mostInAMinute([...received.values()])).toBe(RPM)
  })
})

describe.concurrent('a call that is told when to come back', () => {
  test('is admitted then and not before, as the estimate said', options, async () => {
    const { router, received } = timed(2, { rpm: 1 })
    const ask = (message: string) => router.invoke('default', { message }, { queueMs: 0 })
    await ask('first')
    const estimate = () => router.estimateWaitMs('default', { message: 'second' })
    const before = estimate()
    const retryAfterMs = await told(ask('second'))
    expectBetween(retryAfterMs, estimate(), before)
    await new Promise((resolve) => setTimeout(resolve, retryAfterMs - 10_000))
    const left = await told(ask('second'))
    await new Promise((resolve) => setTimeout(resolve, left + 5))
    expect(await ask('second')).toMatchObject({ content: 'second', queuePosition: 0 })
    const [first, second] = ['first', 'second'].map((each) => received.get(each) as Moment) as [Moment, Moment]
    expect(second.at - first.at + first.lateMs).toBeGreaterThan(MINUTE)
  })
})
