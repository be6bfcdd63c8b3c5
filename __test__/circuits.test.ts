import { describe, expect, test } from 'vitest'

import { CompletionRouter, type DeploymentStats, type DummyOptions, RateLimitError } from '..'
import { caught } from './support/caught'

/** A router whose first deployment does this, and whose second answers. */
function routed(dummy: DummyOptions, retry = {}): CompletionRouter {
  return new CompletionRouter({
    providers: [
      { type: 'dummy', name: 'first', dummy },
      { type: 'dummy', name: 'second' },
    ],
    groups: { default: { strategy: 'first-available', deployments: ['first::m', 'second::m'] } },
    retry,
  })
}

function first(router: CompletionRouter): DeploymentStats {
  return router.stats().groups['default']?.deployments[0] as DeploymentStats
}

let calls = 0
const ask = (router: CompletionRouter, options = {}) =>
  router.invoke('default', { message: `call ${calls++}` }, options)

describe('which deployment rests, why, and until when', () => {
  test.each([
    ['rate-limited', { status: 429, message: 'slow down', retryAfterMs: 9000 }, [8000, 9000]],
    ['transient', { status: 503, message: 'in two seconds', retryAfterMs: 9000 }, [8000, 9000]],
    ['auth', { status: 401, message: 'no such key' }, [47_000, 60_000]],
    ['quota', { status: 402, message: 'pay first' }, [47_000, 60_000]],
  ] as const)('%s', async (restReason, error, [least, most]) => {
    const router = routed({ responses: [{ error }], repeat: true })
    expect(first(router)).toMatchObject({ circuit: 'closed', restMs: 0 })
    expect(first(router)).not.toHaveProperty('restReason')
    expect((await ask(router)).deployment).toBe('second::m')
    const stats = first(router)
    expect(stats).toMatchObject({ circuit: 'open', restReason, restError: expect.stringContaining(error.message) })
    expect(stats.restMs).toBeGreaterThan(least)
    expect(stats.restMs).toBeLessThanOrEqual(most)
    expect(stats).not.toHaveProperty('rampLimit')
  })

  test('and that it takes more and more when it is back', async () => {
    const limited = { error: { status: 429, message: 'slow down', retryAfterMs: 100 } }
    const router = routed({ responses: [limited, 'one', 'two'] })
    await ask(router)
    await new Promise((resolve) => setTimeout(resolve, 150))
    expect(first(router)).toMatchObject({ circuit: 'half-open', restMs: 0, restReason: 'rate-limited' })
    expect((await ask(router)).deployment).toBe('first::m')
    const stats = first(router)
    expect(stats).toMatchObject({ circuit: 'closed', restMs: 0, rampLimit: expect.any(Number) })
    expect(stats.rampLimit).toBeGreaterThanOrEqual(2)
    expect(stats).not.toHaveProperty('restReason')
    expect(stats).not.toHaveProperty('restError')
  })

  test('a call that cannot wait says the same', async () => {
    const router = routed({
      responses: [{ error: { status: 429, message: 'slow down', retryAfterMs: 9000 } }],
      repeat: true,
    })
    router.undeploy('default', 'second::m')
    await caught(ask(router, { queueMs: 0 }))
    const error = (await caught(ask(router, { queueMs: 0 }))) as unknown as RateLimitError
    expect(error).toBeInstanceOf(RateLimitError)
    expect(error.message).toContain('first::m: ')
    expect(error.message).toContain('slow down')
    expect(error.retryAfterMs).toBeGreaterThan(8000)
    expect(error.retryAfterMs).toBeLessThanOrEqual(9000)
    expect(error.attempts).toEqual([])
  })
})
