import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { CompletionRouter, type DeployOptions, type DeploymentStats, RateLimitError } from '..'
import { caught } from './support/caught'
import { TestServer, chat, inTurn, send } from './support/server'

let server: TestServer

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

function routed(deploy: DeployOptions = {}): CompletionRouter {
  const router = new CompletionRouter({ retry: { maxRetries: 0 } })
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
  return router.deploy('g', 'local::m', deploy)
}

/** Every answer says this of the limits. When each request came, and when each answer went. */
function saying(...headers: Record<string, string>[]): { came: number[]; went: number[] } {
  const moments = { came: [] as number[], went: [] as number[] }
  server.answer = inTurn(
    ...headers.map((each) => (_seen: unknown, response: Parameters<typeof send>[0]) => {
      moments.came.push(performance.now())
      // Before it is said: who hears it on another thread may have it before this one goes on.
      moments.went.push(performance.now())
      send(response, chat('Hi'), 200, each)
    }),
  )
  return moments
}

function stats(router: CompletionRouter): DeploymentStats {
  return router.stats().groups['g']?.deployments[0] as DeploymentStats
}

const request = { message: 'Hi' }
const atOnce = (router: CompletionRouter) => router.invoke('g', request, { queueMs: 0 })

describe('a provider that says that no requests are left', () => {
  const none = { 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '2s' }

  test('is not asked before it said, and then it is', async () => {
    const { came, went } = saying(none, {})
    const router = routed()
    await router.invoke('g', request)
    const called = performance.now()
    const second = await router.invoke('g', request)
    const gap = (came[1] as number) - (went[0] as number)
    expect(gap).toBeGreaterThanOrEqual(1999)
    expect(gap).toBeLessThan(4000)
    expect(second.queuedMs).toBeGreaterThan(1500 - (called - (went[0] as number)))
    expect(second.queuePosition).toBe(1)
    expect(stats(router)).toMatchObject({ learned: {}, ignoredHeaders: 0, restMs: 0, circuit: 'closed' })
  })

  test('tells whoever does not wait when to come back, and keeps its word', async () => {
    saying(none, {})
    const router = routed()
    await router.invoke('g', request)
    const before = router.estimateWaitMs('g', request)
    const error = await caught(atOnce(router))
    const after = router.estimateWaitMs('g', request)
    expect(error).toBeInstanceOf(RateLimitError)
    expect(before).toBeGreaterThan(1000)
    expect(before).toBeLessThanOrEqual(2000)
    expect(error['retryAfterMs']).toBeLessThanOrEqual(before + 1)
    expect(error['retryAfterMs']).toBeGreaterThanOrEqual(after - 1)
    await new Promise((resolve) => setTimeout(resolve, (error['retryAfterMs'] as number) + 5))
    expect(await atOnce(router)).toMatchObject({ content: 'Hi', queuePosition: 0 })
    expect(server.seen).toHaveLength(2)
  })

  test('is not asked meanwhile where another has room', async () => {
    saying(none, {})
    const router = routed().configureGroup('g', { strategy: 'first-available' })
    router.addProvider({ type: 'dummy' }).deploy('g', 'dummy::echo')
    const answers = [await atOnce(router), await atOnce(router), await atOnce(router)]
    expect(answers.map(({ deployment }) => deployment)).toEqual(['local::m', 'dummy::echo', 'dummy::echo'])
  })

  test('is believed for tokens as well', async () => {
    saying({ 'x-ratelimit-remaining-tokens': '50', 'x-ratelimit-reset-tokens': '30s' }, {})
    const router = routed({ tpm: 100_000 })
    await router.invoke('g', request)
    const error = await caught(router.invoke('g', { ...request, max_completion_tokens: 100 }, { queueMs: 0 }))
    expect(error['retryAfterMs']).toBeGreaterThan(25_000)
    expect(error['retryAfterMs']).toBeLessThanOrEqual(30_000)
    await router.invoke('g', { ...request, max_completion_tokens: 20 }, { queueMs: 0 })
  })
})

describe('a limit that a provider names', () => {
  test('is shown, and holds if it is the tighter one', async () => {
    saying({ 'x-ratelimit-limit-requests': '2', 'x-ratelimit-limit-tokens': '5000' })
    const router = routed({ rpm: 500 })
    expect(stats(router).learned).toEqual({})
    await atOnce(router)
    await atOnce(router)
    expect(stats(router)).toMatchObject({ learned: { rpm: 2, tpm: 5000 }, limits: { rpm: 500 } })
    expect(await caught(atOnce(router))).toBeInstanceOf(RateLimitError)
    // Larger than what the provider named: it waits for an empty window, but only a limit that was set refuses for ever.
    const large = await caught(router.invoke('g', { ...request, max_completion_tokens: 6000 }, { queueMs: 0 }))
    expect(large).toMatchObject({ code: 'ERR_RATE_LIMITED' })
    expect(server.seen).toHaveLength(2)
  })

  test('is shown and holds nobody up if it is the wider one', async () => {
    saying({ 'x-ratelimit-limit-requests': '500' })
    const router = routed({ rpm: 1 })
    await atOnce(router)
    expect(stats(router).learned.rpm).toBe(500)
    expect(await caught(atOnce(router))).toBeInstanceOf(RateLimitError)
  })

  test('may be spelled as Anthropic does', async () => {
    const reset = new Date(Date.now() + 60_000).toISOString()
    saying({
      'anthropic-ratelimit-requests-limit': '50',
      'anthropic-ratelimit-requests-remaining': '49',
      'anthropic-ratelimit-requests-reset': reset,
      'anthropic-ratelimit-input-tokens-limit': '30000',
      'anthropic-ratelimit-output-tokens-limit': '8000',
    })
    const router = routed()
    await atOnce(router)
    expect(stats(router)).toMatchObject({ learned: { rpm: 50, tpm: 38_000 }, ignoredHeaders: 0 })
  })
})

describe('headers that make no sense', () => {
  test.each([
    ['words', { limit: 'lots', remaining: 'none', reset: 'soon' }],
    ['negative', { limit: '-5', remaining: '-1', reset: '-2s' }],
    ['fractions', { limit: '1.5', remaining: '0.5', reset: '1s2m' }],
    ['no numbers', { limit: 'NaN', remaining: 'Infinity', reset: '1e3s' }],
    ['larger than any number', { limit: '9007199254740992', remaining: '9'.repeat(400), reset: `${'9'.repeat(30)}h` }],
    ['empty', { limit: '', remaining: '', reset: '' }],
    ['not of this world', { limit: '0', remaining: '٣', reset: '2525-13-32T25:61:61Z' }],
  ])('are left out and counted: %s', async (_what, { limit, remaining, reset }) => {
    saying({
      'x-ratelimit-limit-requests': limit,
      // Headers are Latin-1 to Node.
      'x-ratelimit-remaining-requests': Buffer.from(remaining, 'utf8').toString('latin1'),
      'x-ratelimit-reset-requests': reset,
    })
    const router = routed()
    for (let call = 1; call <= 3; call += 1) {
      await atOnce(router)
      expect(stats(router)).toMatchObject({ learned: {}, ignoredHeaders: 3 * call, succeeded: call, failed: 0 })
    }
  })

  test('spoil nothing of what the others say', async () => {
    saying({
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '7',
      'x-ratelimit-reset-tokens': '?',
    })
    const router = routed()
    await atOnce(router)
    // More left than there is at all, and a reset that is none.
    expect(stats(router)).toMatchObject({ learned: { rpm: 2 }, ignoredHeaders: 2 })
    await atOnce(router)
    expect(await caught(atOnce(router))).toBeInstanceOf(RateLimitError)
  })
})
