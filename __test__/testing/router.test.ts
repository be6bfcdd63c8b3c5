import { describe, expect, test } from 'vitest'

import type { Fault } from 'thryd/testing'

import { CompletionRouter } from '../..'
import { collected } from '../support/caught'
import { CONTENT, serveFaults, server } from '../support/faults'

serveFaults()

const FAULTS = [
  'reset',
  'close',
  'hang',
  'stall',
  'cut',
  'end',
  'malformed',
  'errorEvent',
  'noDone',
  'html',
  'empty',
  'stallError',
  'cutAfterFinish',
  'stallAfterFinish',
] as const satisfies Fault[]

describe('a router with another deployment', () => {
  const HARMLESS = new Set<Fault>(['noDone', 'cutAfterFinish', 'stallAfterFinish'])
  const FAILING = FAULTS.filter((fault) => !HARMLESS.has(fault))
  /** Where no clock is to run out, a slow machine shall not make one. */
  const timeouts = (fault: string): object => {
    const limit = fault.startsWith('stall') || fault === 'hang' ? 1000 : 60_000
    return { firstTokenMs: limit, idleMs: limit }
  }

  test.each([...FAILING, 'status-503', 'status-429'] as const)('survives %s, whole and streamed', async (fault) => {
    const router = new CompletionRouter({
      providers: [server.provider()],
      groups: { default: { strategy: 'first-available', deployments: [`faulty::${fault}`, 'faulty::ok'] } },
      retry: { baseDelayMs: 1, cooldownMs: 1 },
      timeouts: timeouts(fault),
    })
    const whole = await router.invoke('default', { message: CONTENT })
    const shown = await collected(router.stream('default', { message: CONTENT }, { buffer: true }))
    expect([whole.content, whole.deployment]).toEqual([CONTENT, 'faulty::ok'])
    expect(whole.attempts[0]).toMatchObject({
      deployment: `faulty::${fault}`,
      outcome: expect.not.stringMatching('^ok$'),
    })
    expect(shown.map((chunk) => (chunk.type === 'content' ? chunk.delta : '')).join('')).toBe(CONTENT)
    expect(server.counts.served).toMatchObject({ ok: 2 })
  })

  test.each(FAULTS)('meets the same when a dummy does %s', async (fault) => {
    const met = async (provider: object, options: { stream: boolean }): Promise<unknown> => {
      const router = new CompletionRouter({
        providers: [{ ...provider, name: 'p' } as never],
        retry: { maxRetries: 0 },
        timeouts: timeouts(fault),
      })
      router.deploy('default', 'p::m')
      const request = { message: CONTENT }
      const call = options.stream
        ? router.stream('default', request, { buffer: true }).completion()
        : router.invoke('default', request)
      const ended = await call.catch((error: unknown) => error)
      const { attempts, phase } = ended as { attempts: { outcome: string }[]; phase?: string }
      return [attempts.map(({ outcome }) => outcome), phase]
    }
    for (const stream of [false, true]) {
      server.script('m', fault)
      const expected = await met(server.provider(), { stream })
      expect(await met({ type: 'dummy', dummy: { responses: [{ fault }] } }, { stream })).toEqual(expected)
    }
  })

  test('heeds what a script says of coming back', async () => {
    server.script('m', [{ status: 429, retryAfterMs: 40 }, 'ok'])
    const router = new CompletionRouter({ providers: [server.provider()] }).deploy('default', 'faulty::m')
    expect((await router.invoke('default', { message: 'hi' })).attempts.map(({ outcome }) => outcome)).toEqual([
      'rate-limited',
      'ok',
    ])
    const [first, second] = server.requests.map(({ atMs }) => atMs)
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThan(38)
  })
})
