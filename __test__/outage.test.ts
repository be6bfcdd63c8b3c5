import { afterEach, describe, expect, test } from 'vitest'

import { CompletionRouter } from '..'
import { FaultServer, type Behaviour } from '../js/testing'

const server = await FaultServer.start({ latencyMs: 5 })

afterEach(() => server.reset())

/** Calls every 50 ms for this long, each another; gives what each came to, in order. */
async function traffic(router: CompletionRouter, forMs: number): Promise<PromiseSettledResult<string>[]> {
  const calls: Promise<string>[] = []
  const end = performance.now() + forMs
  while (performance.now() < end) {
    const call = router.invoke('default', { message: `call ${calls.length}` })
    calls.push(call.then(({ deployment }) => deployment))
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return Promise.allSettled(calls)
}

const routed = () =>
  new CompletionRouter({
    providers: [server.provider('p')],
    groups: { default: { strategy: 'first-available', deployments: ['p::first', 'p::second'] } },
    timeouts: { firstTokenMs: 1000 },
  })

const OUTAGES: Behaviour[] = ['status-503', 'reset', 'hang', 'end-1']

describe('an outage of a minute of the first of two deployments, with the default rests', () => {
  test.concurrent.each(OUTAGES)('%s: every call is answered, it is probed once a rest, and is back within 5 s', async (kind) => {
    const router = routed()
    const name = `first-${JSON.stringify(kind)}`
    router.undeploy('default', 'p::first')
    router.undeploy('default', 'p::second')
    router.deploy('default', `p::${name}`).deploy('default', 'p::second')
    const [outageMs, allMs] = [60_000, 70_000]
    const busy = traffic(router, allMs)
    await new Promise((resolve) => setTimeout(resolve, 2000))
    const begun = performance.now()
    server.outage(kind, name)
    await new Promise((resolve) => setTimeout(resolve, outageMs))
    server.recover(name)
    const over = performance.now()
    const results = await busy
    expect(results.filter(({ status }) => status === 'rejected')).toEqual([])

    const asked = server.requests.filter(({ model }) => model === name)
    // Those that were under way when its circuit opened are no probes; a rest is 4 s at least.
    const probes = asked.filter(({ atMs }) => atMs > begun + 3500 && atMs < over).map(({ atMs }) => atMs)
    expect(probes.length).toBeGreaterThan(3)
    for (const [place, at] of probes.entries()) {
      if (place > 0) expect(at - probes[place - 1]!).toBeGreaterThan(3900)
    }
    const back = asked.find(({ atMs, served }) => atMs > over && served === 'ok')!
    expect(back.atMs - over).toBeLessThan(5000 + 1000 + 250)
  })
}, 100_000)
