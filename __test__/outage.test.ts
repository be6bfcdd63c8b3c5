import { afterAll, describe, expect, test } from 'vitest'

import { CompletionRouter } from '..'
import { FaultServer, type Behaviour } from '../js/testing'
import { Stalls } from './support/stalls'

const server = await FaultServer.start({ latencyMs: 5 })
const stalls = new Stalls(10)

afterAll(() => {
  stalls[Symbol.dispose]()
  return server.close()
})

const FIRST_TOKEN_MS = 1000
const GAP_MS = 50
/** Somebody has to call when the rest is over, which is once in a gap; the rest is for timers of a busy machine. */
const LATE_MS = GAP_MS + 400

/** Calls every 50 ms for this long, each another; gives what each came to, in order. */
async function traffic(router: CompletionRouter, forMs: number): Promise<PromiseSettledResult<string>[]> {
  const calls: Promise<string>[] = []
  const end = performance.now() + forMs
  while (performance.now() < end) {
    const call = router.invoke('default', { message: `call ${calls.length}` })
    calls.push(call.then(({ deployment }) => deployment))
    await new Promise((resolve) => setTimeout(resolve, GAP_MS))
  }
  return Promise.allSettled(calls)
}

/** How late a request that was seen at this moment may have been seen. */
const lateBy = (atMs: number) => stalls.longest(atMs - 1000, atMs + 1000)

/** A router whose first deployment has this name. */
const routed = (first: string) =>
  new CompletionRouter({
    providers: [server.provider('p')],
    groups: { default: { strategy: 'first-available', deployments: [`p::${first}`, 'p::second'] } },
    timeouts: { firstTokenMs: FIRST_TOKEN_MS },
  })

const pass = (forMs: number) => new Promise((resolve) => setTimeout(resolve, forMs))

/** The names say nothing to the server: one named like a fault would always have it. */
const OUTAGES: [string, Behaviour][] = [
  ['unavailable', 'status-503'],
  ['torn-down', 'reset'],
  ['silent', 'hang'],
  ['broken-off', 'end-1'],
]

describe('an outage of a minute of the first of two deployments, with the default rests', () => {
  test.concurrent.each(OUTAGES)(
    '%s: every call is answered, it is probed once a rest, and is back within 5 s',
    async (name, kind) => {
      const busy = traffic(routed(name), 70_000)
      await pass(2000)
      const begun = performance.now()
      server.outage(kind, name)
      await pass(60_000)
      server.recover(name)
      const over = performance.now()
      const results = await busy
      expect(results.filter(({ status }) => status === 'rejected')).toEqual([])

      const asked = server.requests.filter(({ model }) => model === name)
      // Those that were under way when its circuit opened are no probes.
      const probes = asked.filter(({ atMs }) => atMs > begun + 3500 && atMs < over).map(({ atMs }) => atMs)
      expect(probes.length).toBeGreaterThan(8)
      // A rest is 4 s at least; the rest is for a busy machine, which may also have seen the earlier of the two late.
      const gaps = probes.slice(1).map((at, place) => at - probes[place]! + lateBy(probes[place]!))
      expect(Math.min(...gaps)).toBeGreaterThan(3800)
      const back = asked.find(({ atMs, served }) => atMs > over && served === 'ok')!
      // A probe that hangs until its clock runs out may have begun just before the end.
      const hanging = kind === 'hang' ? FIRST_TOKEN_MS : 0
      expect(back.atMs - over - lateBy(back.atMs)).toBeLessThan(5000 + hanging + LATE_MS)
    },
  )
}, 100_000)
