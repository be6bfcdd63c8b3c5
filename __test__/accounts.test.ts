import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { CompletionRouter, type ProviderOptions, RateLimitError } from '..'
import { caught } from './support/caught'
import { type Seen, TestServer, echo, question } from './support/server'

let server: TestServer

// One for each test: an account is what its base URL and key are, for as long as it has anything in its window.
beforeEach(async () => {
  server = await TestServer.start()
})
afterEach(() => server.close())

/** A provider of the server, with these limits. */
function account(limits: Partial<ProviderOptions>, name = 'local', apiKey = 'sk-shared'): ProviderOptions {
  return { type: 'openai-compatible', name, baseUrl: server.url, apiKey, ...limits }
}

/** A router with one deployment of this provider. */
function routed(provider: ProviderOptions, model = 'm'): CompletionRouter {
  return new CompletionRouter({ providers: [provider] }).deploy('g', `${provider.name}::${model}`)
}

/** Calls at once or not at all. */
const ask = (router: CompletionRouter, group = 'g') => router.invoke(group, { message: 'Hi' }, { queueMs: 0 })

/** There is no event for a line that grew. */
async function untilWaiting(router: CompletionRouter, count: number): Promise<void> {
  while (router.stats().waiting !== count) await new Promise((resolve) => setImmediate(resolve))
}

describe('routers that name the same base URL and key', () => {
  test('share one window, whatever they call it', async () => {
    const [one, other] = [routed(account({ rpm: 4 })), routed(account({ rpm: 4 }, 'mine'), 'other-model')]
    for (const router of [one, other, one, other]) await ask(router)
    for (const router of [one, other]) expect(await caught(ask(router))).toBeInstanceOf(RateLimitError)
    expect(server.seen).toHaveLength(4)
    const spent = { inFlight: 0, window: { requests: 4, tokens: 20 }, limits: { rpm: 4 } }
    expect(one.stats().providers).toEqual({ local: spent })
    expect(other.stats().providers).toEqual({ mine: spent })
    // Each deployment counts its own.
    expect(one.stats().groups['g']?.deployments[0]).toMatchObject({ window: { requests: 2, tokens: 10 }, limits: {} })
    expect(one.estimateWaitMs('g', { message: 'Hi' })).toBeGreaterThan(50_000)
  })

  test('share requests in flight, and one that ends in one is a place for the other', async () => {
    const finish: (() => unknown)[] = []
    server.answer = (seen, response) => finish.push(() => echo(seen, response))
    const [one, other] = [routed(account({ maxConcurrent: 1 })), routed(account({ maxConcurrent: 1 }))]
    const first = one.invoke('g', { message: 'first' })
    await server.received(1)
    const second = other.invoke('g', { message: 'second' })
    await untilWaiting(other, 1)
    for (const router of [one, other]) expect(router.stats().providers?.['local']?.inFlight).toBe(1)
    finish[0]?.()
    expect(`${await first}`).toBe('first')
    await server.received(2)
    finish[1]?.()
    expect(await second).toMatchObject({ content: 'second', queuePosition: 1 })
  })

  test('have the limits that were given last, and who waits hears of it', async () => {
    const one = routed(account({ rpm: 1 }))
    await ask(one)
    const waiting = one.invoke('g', { message: 'Hi' }, { queueMs: 120_000 })
    await untilWaiting(one, 1)
    const other = routed(account({ rpm: 3 }))
    await waiting
    await ask(other)
    expect(await caught(ask(one))).toBeInstanceOf(RateLimitError)
    expect(one.stats().providers?.['local']?.limits).toEqual({ rpm: 3 })
  })

  test('have nothing in common if one of them gives no limits', async () => {
    const [one, other] = [routed(account({ rpm: 1 })), routed(account({}))]
    await ask(one)
    for (let call = 0; call < 3; call += 1) await ask(other)
    expect(other.stats().providers).toBeUndefined()
    expect(one.stats().providers?.['local']?.window.requests).toBe(1)
  })
})

describe('routers that do not', () => {
  test('share nothing: another key is another account, and so is another URL', async () => {
    const others = [
      routed(account({ rpm: 1 })),
      routed(account({ rpm: 1 }, 'local', 'sk-other')),
      routed({ ...account({ rpm: 1 }), baseUrl: `${server.origin}/v2` }),
    ]
    for (const router of others) await ask(router)
    for (const router of others) expect(await caught(ask(router))).toBeInstanceOf(RateLimitError)
    expect(server.seen).toHaveLength(3)
  })

  test('share nothing if they are dummies, unless these have a key', async () => {
    const dummy = (more: Partial<ProviderOptions>) => routed({ type: 'dummy', name: 'd', rpm: 1, ...more })
    for (const router of [dummy({}), dummy({}), dummy({ apiKey: server.url })]) await ask(router)
    expect(await caught(ask(dummy({ apiKey: server.url })))).toBeInstanceOf(RateLimitError)
  })
})

describe('limits of a provider', () => {
  test('hold for all its deployments together, beside their own', async () => {
    const router = new CompletionRouter({ providers: [account({ rpm: 3 })] })
    router.deploy('a', 'local::x', { rpm: 1 }).deploy('b', 'local::y').deploy('b', 'local::z')
    await ask(router, 'a')
    expect(await caught(ask(router, 'a'))).toBeInstanceOf(RateLimitError)
    for (let call = 0; call < 2; call += 1) await ask(router, 'b')
    expect(await caught(ask(router, 'b'))).toBeInstanceOf(RateLimitError)
    // What the account refuses is not charged to the deployment.
    const windows = router.stats().groups['b']?.deployments.map((one) => one.window.requests)
    expect(windows).toEqual([1, 1])
  })

  test('hold for one that is written in JavaScript, and for nobody else who is called like it', async () => {
    const complete = async () => 'x'
    const make = () => {
      const router = new CompletionRouter({ providers: [{ name: 'mine', rpm: 2, complete }] })
      return router.deploy('g', 'mine::a').deploy('other', 'mine::b')
    }
    const router = make()
    await ask(router)
    await ask(router, 'other')
    for (const group of ['g', 'other']) expect(await caught(ask(router, group))).toBeInstanceOf(RateLimitError)
    expect(router.stats().providers?.['mine']).toMatchObject({ window: { requests: 2 }, limits: { rpm: 2 } })
    await ask(make())
  })

  test('that are taken away let go of those who wait', async () => {
    const router = routed(account({ rpm: 1 }))
    await ask(router)
    const waiting = Array.from({ length: 5 }, (_, index) =>
      router.invoke('g', { message: `${index}` }, { queueMs: 600_000 }),
    )
    await untilWaiting(router, 5)
    router.addProvider(account({}))
    expect((await Promise.all(waiting)).map(String)).toEqual(['0', '1', '2', '3', '4'])
    expect(router.stats().providers).toBeUndefined()
  })

  test('that are given anew while a call is in flight still know of it', async () => {
    const finish: (() => unknown)[] = []
    server.answer = (seen, response) => finish.push(() => echo(seen, response))
    const router = routed(account({ maxConcurrent: 1 }))
    const first = router.invoke('g', { message: 'first' })
    await server.received(1)
    router.addProvider(account({ maxConcurrent: 1, rpm: 10 }))
    expect(router.stats().providers?.['local']).toMatchObject({ inFlight: 1, window: { requests: 1 } })
    const second = router.invoke('g', { message: 'second' })
    await untilWaiting(router, 1)
    finish[0]?.()
    await first
    await server.received(2)
    finish[1]?.()
    await second
    expect(router.stats().providers?.['local']).toMatchObject({ inFlight: 0, window: { requests: 2 } })
  })
})

describe('a large request that waits for tokens', () => {
  /** One that holds half of the account's tokens until it is let go, a large one that waits for them, and small ones. */
  async function contended(largeKey: string) {
    const finish = new Map<string, () => unknown>()
    server.answer = (seen: Seen, response) => {
      const text = question(seen)
      if (text === 'held' || text === 'large') finish.set(text, () => echo(seen, response))
      else void echo(seen, response)
    }
    const patient = { queueMs: 600_000 }
    const [one, other] = [routed(account({ tpm: 1000 }, 'local', largeKey)), routed(account({ tpm: 1000 }))]
    const held = other.invoke('g', { message: 'held', max_completion_tokens: 500 }, patient)
    await server.received(1)
    const controller = new AbortController()
    const { signal } = controller
    const large = one.invoke('g', { message: 'large', max_completion_tokens: 900 }, { ...patient, signal })
    return { one, other, held, large, finish, patient, controller }
  }

  test('is not starved by small ones of another router on the same account', async () => {
    const { one, other, held, large, finish, patient } = await contended('sk-shared')
    await untilWaiting(one, 1)
    // There is room for each of these, and taking it would keep the large one out for ever.
    const small = Array.from({ length: 40 }, (_, index) =>
      other.invoke('g', { message: `small ${index}`, max_completion_tokens: 100 }, patient),
    )
    await untilWaiting(other, 40)
    expect(server.seen.map(question)).toEqual(['held'])
    finish.get('held')?.()
    await held
    // It cost five of the tokens that it had reserved.
    await server.received(2)
    expect(server.seen.map(question)).toEqual(['held', 'large'])
    expect(other.stats().waiting).toBe(40)
    finish.get('large')?.()
    expect(await large).toMatchObject({ content: 'large', queuePosition: 1 })
    await Promise.all(small)
    expect(server.seen).toHaveLength(42)
    expect(other.stats().providers?.['local']).toMatchObject({ inFlight: 0, window: { requests: 42, tokens: 210 } })
  })

  test('keeps nobody waiting on another account', async () => {
    const { other, held, large, finish } = await contended('sk-other')
    await server.received(2)
    await other.invoke('g', { message: 'small', max_completion_tokens: 100 }, { queueMs: 0 })
    for (const answer of finish.values()) answer()
    expect(`${await held} ${await large}`).toBe('held large')
  })

  test.each([
    ['is cancelled', (leave: AbortController) => leave.abort('enough'), 'enough'],
    [
      'loses its deployment',
      (_leave: AbortController, router: CompletionRouter) => router.undeploy('g', 'local::m'),
      expect.objectContaining({ code: 'ERR_NO_GROUP' }),
    ],
  ])('that %s lets the small ones pass', async (_how, leave, reason) => {
    const { one, other, held, finish, large, controller } = await contended('sk-shared')
    await untilWaiting(one, 1)
    const small = other.invoke('g', { message: 'small', max_completion_tokens: 100 })
    await untilWaiting(other, 1)
    leave(controller, one)
    expect(await caught(large)).toEqual(reason)
    expect(`${await small}`).toBe('small')
    finish.get('held')?.()
    await held
  })
})
