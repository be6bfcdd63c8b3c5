import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'

import { CompletionRouter, EmbeddingRouter, RerankRouter, type RouterOptions, UsageTracker } from '..'
import { caught, collected, thrownBy } from './support/caught'
import { TestServer } from './support/server'

let server: TestServer

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

/** A router with one deployment of the server, which tries once. */
function routed(options: RouterOptions = {}): CompletionRouter {
  const router = new CompletionRouter({ retry: { maxRetries: 0 }, ...options })
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
  return router.deploy('default', 'local::m', { rpm: 10, tpm: 100_000 })
}

const any = <Value>(value: unknown): Value => value as Value

describe('a key that is missing', () => {
  test.each([
    ['openai', /set OPENAI_API_KEY or pass apiKey/],
    ['cohere', /set COHERE_API_KEY or CO_API_KEY or pass apiKey/],
    ['groq', /set GROQ_API_KEY or pass apiKey/],
  ] as const)('of %s names the variable', (type, message) => {
    vi.stubEnv('OPENAI_API_KEY', '')
    vi.stubEnv('COHERE_API_KEY', undefined)
    vi.stubEnv('CO_API_KEY', undefined)
    vi.stubEnv('GROQ_API_KEY', undefined)
    const error = thrownBy(() => new CompletionRouter().addProvider({ type }))
    vi.unstubAllEnvs()
    expect(error).toMatchObject({ name: 'ThrydError', code: 'ERR_NO_PROVIDER', retryable: false })
    expect(error.message).toMatch(message)
  })
})

describe('a group that is not there', () => {
  test('lists those that are', async () => {
    const router = routed().deploy('fast', 'local::m')
    const error = await caught(router.invoke('defualt', { message: 'Hi' }))
    expect(error).toMatchObject({ name: 'ThrydError', code: 'ERR_NO_GROUP' })
    expect(error.message).toBe('no group "defualt"; there are: default, fast')
    expect(thrownBy(() => router.estimateWaitMs('nope', { message: 'Hi' }))).toMatchObject({ code: 'ERR_NO_GROUP' })
    expect(await caught(router.stream('nope', { message: 'Hi' }).completion())).toMatchObject({ code: 'ERR_NO_GROUP' })
  })

  test('says how to make one if there is none', async () => {
    const error = await caught(new CompletionRouter().invoke('default', { message: 'Hi' }))
    expect(error['code']).toBe('ERR_NO_GROUP')
    expect(error.message).toMatch(/none yet.*deploy\("default", "provider::model"\)/)
  })
})

describe('a model', () => {
  test.each(['gpt-4o', 'local:gpt', '', '::m', 'local::'])('%j says what form is wanted', (model) => {
    const error = thrownBy(() => routed().deploy('default', model))
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toContain('provider::model')
  })

  test('of a provider that was not added says which there are', () => {
    const error = thrownBy(() => routed().deploy('default', 'other::m'))
    expect(error).toMatchObject({ code: 'ERR_NO_PROVIDER' })
    expect(error.message).toContain('other')
    expect(error.message).toContain('local')
  })

  test.each([undefined, null, 7, {}])('that is %j is a TypeError', (model) => {
    expect(thrownBy(() => routed().deploy('default', any(model)))).toBeInstanceOf(TypeError)
    expect(thrownBy(() => routed().deploy(any(model), 'local::m'))).toBeInstanceOf(TypeError)
  })
})

describe('a number', () => {
  const range = (text: string) => new RegExp(`an integer from 1 to 9007199254740991, got ${text}$`)

  test.each([
    [0, RangeError, range('0')],
    [-1, RangeError, range('-1')],
    [1.5, RangeError, range('1\\.5')],
    [Number.NaN, RangeError, range('NaN')],
    [Number.POSITIVE_INFINITY, RangeError, range('Infinity')],
    [2 ** 53, RangeError, range('9007199254740992')],
    [5n, RangeError, range('5n')],
    [10n ** 30n, RangeError, range('1000000000000000000000000000000n')],
    ['60', TypeError, range('"60"')],
    [true, TypeError, range('true')],
    [[60], TypeError, range('an array of 1')],
    [{}, TypeError, range('an object')],
  ])('of requests that is %o is refused by field, range and value', (value, type, message) => {
    for (const field of ['rpm', 'tpm', 'maxConcurrent', 'contextWindow']) {
      const error = thrownBy(() => routed().deploy('default', 'local::m', any({ [field]: value })))
      expect(error).toBeInstanceOf(type)
      expect(error.message).toMatch(new RegExp(`options\\.${field}: `))
      expect(error.message).toMatch(message)
    }
    expect(thrownBy(() => new UsageTracker(any({ rpm: value })))).toBeInstanceOf(type)
    // The limits of a provider, wherever they are given; and what was there before stays as it was.
    const complete = async () => 'x'
    const router = routed().addProvider({ name: 'mine', rpm: 7, complete })
    for (const field of ['rpm', 'tpm', 'maxConcurrent']) {
      const limits = { [field]: value }
      const ways: [() => unknown, string][] = [
        [() => router.addProvider(any({ type: 'dummy', ...limits })), 'provider options'],
        [() => router.addProvider(any({ name: 'mine', complete, ...limits })), 'provider'],
        [() => new CompletionRouter({ providers: [any({ type: 'dummy', ...limits })] }), 'provider options'],
        [() => new CompletionRouter({ providers: [any({ name: 'mine', complete, ...limits })] }), 'provider'],
        [
          () => new CompletionRouter({ groups: { g: { deployments: [any({ model: 'a::b', ...limits })] } } }),
          'deploy options',
        ],
      ]
      for (const [way, path] of ways) {
        const error = thrownBy(way)
        expect(error).toBeInstanceOf(type)
        expect(error.message.startsWith(`${path}.${field}: expected `)).toBe(true)
        expect(error.message).toMatch(message)
      }
    }
    expect(router.stats().providers).toMatchObject({ mine: { limits: { rpm: 7 } } })
  })

  test('is a number wherever one is wanted', async () => {
    const router = routed()
    const wrong: [() => unknown, RegExp][] = [
      [() => new CompletionRouter({ retry: { maxRetries: -1 } }), /maxRetries.*-1/],
      [() => new CompletionRouter({ retry: { budget: 1.1 } }), /budget.*1\.1/],
      [() => new CompletionRouter({ retry: { hedgeQuantile: 1 } }), /hedgeQuantile/],
      [() => new CompletionRouter({ timeouts: { connectMs: -5 } }), /connectMs.*-5/],
      [() => new CompletionRouter({ cache: { ttlMs: Number.NaN } }), /ttlMs.*NaN/],
      [() => router.deploy('default', 'local::x', { weight: -1 }), /weight.*-1/],
      [() => router.deploy('default', 'local::x', { price: { prompt: -1, completion: 0 } }), /prompt.*-1/],
    ]
    for (const [call, message] of wrong) {
      const error = thrownBy(call)
      expect(error).toBeInstanceOf(RangeError)
      expect(error.message).toMatch(message)
    }
    const late = await caught(router.invoke('default', { message: 'Hi' }, { totalMs: -1 }))
    expect(late).toBeInstanceOf(RangeError)
    expect(late.message).toMatch(/totalMs.*-1/)
  })
})

describe('an option', () => {
  const secret = 'sk-mistyped-0123456789'

  test('that nobody knows is named, and its value is not', async () => {
    const wrong: (() => unknown)[] = [
      () => new CompletionRouter(any({ unknownKey: secret })),
      () => new CompletionRouter({ retry: any({ unknownKey: secret }) }),
      () => new CompletionRouter({ timeouts: any({ unknownKey: secret }) }),
      () => new CompletionRouter({ cache: any({ unknownKey: secret }) }),
      () => new CompletionRouter({ groups: { default: any({ deployments: [], unknownKey: secret }) } }),
      () => new CompletionRouter().addProvider(any({ type: 'dummy', unknownKey: secret })),
      () => new CompletionRouter().addProvider({ type: 'dummy', dummy: any({ unknownKey: secret }) }),
      () => routed().deploy('default', 'local::m', any({ unknownKey: secret })),
      () => routed().configureGroup('default', any({ unknownKey: secret })),
    ]
    const errors = wrong.map(thrownBy)
    for (const options of [{ unknownKey: secret }]) {
      errors.push(await caught(routed().invoke('default', { message: 'Hi' }, any(options))))
      errors.push(await caught(routed().stream('default', { message: 'Hi' }, any(options)).completion()))
      errors.push(await caught(routed().mountCache(any(options))))
    }
    for (const error of errors) {
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toContain('unknownKey')
      expect(error.message + error.stack).not.toContain(secret)
    }
  })

  test('that is null is absent, in the limits of a provider as well', async () => {
    const none = any<object>({ rpm: null, tpm: null, maxConcurrent: null })
    const router = new CompletionRouter({ providers: [{ type: 'dummy', ...none }] })
    router.addProvider({ name: 'mine', complete: async () => 'x', ...none })
    expect(router.stats().providers).toBeUndefined()
  })

  test('that is null is absent', async () => {
    const options = any<RouterOptions>({ cache: null, providers: null, groups: null, retry: null, timeouts: null })
    const router = new CompletionRouter(any(null))
    expect(thrownBy(() => new CompletionRouter(options).estimateWaitMs('x', { message: '' }))).toMatchObject({
      code: 'ERR_NO_GROUP',
    })
    const provider = { type: 'openai-compatible', name: 'local', baseUrl: server.url, apiKey: null, headers: null }
    router.addProvider(any(provider))
    router.deploy('default', 'local::m', any({ rpm: null, tpm: null, price: null, weight: null }))
    router.configureGroup('default', any({ strategy: null, fallbacks: null }))
    const call = any<object>({ signal: null, cache: null, namespace: null, totalMs: null, priority: null })
    const answer = await router.invoke('default', any({ message: 'Hi', temperature: null, tools: null }), call)
    expect(answer.content).toBe('Hi')
    expect(server.last.text).toBe('{"model":"m","messages":[{"role":"user","content":"Hi"}]}')
    expect((await router.invoke('default', { message: 'Hi' }, any(null))).content).toBe('Hi')
  })

  test('of the wrong type says what is wanted', () => {
    const wrong: [() => unknown, RegExp][] = [
      [() => new CompletionRouter(any('x')), /expected an object, got a string/],
      [() => new CompletionRouter({ cache: any(7) }), /cache: expected a path, CacheOptions or a Cache, got 7/],
      [() => new CompletionRouter({ providers: any({}) }), /providers: expected an array/],
      [() => new CompletionRouter().addProvider(any(null)), /provider/],
      [() => new CompletionRouter().addProvider(any({ type: 'opnai' })), /type: expected one of 'openai'/],
      [() => new CompletionRouter().addProvider({ type: 'openai-compatible' }), /baseUrl: expected a URL/],
      [
        () => new CompletionRouter().addProvider({ type: 'openai-compatible', baseUrl: 'localhost' }),
        /baseUrl: expected an http or https URL/,
      ],
      [() => routed().configureGroup('default', { strategy: any('fastest') }), /one of 'first-available'/],
    ]
    for (const [call, message] of wrong) {
      const error = thrownBy(call)
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toMatch(message)
    }
  })
})

describe('a request', () => {
  const circular: Record<string, unknown> = { message: 'Hi' }
  circular['self'] = circular

  const wrong: [what: string, request: unknown, message: RegExp, type?: typeof RangeError][] = [
    ['with neither message nor messages', {}, /^request: expected either message or messages, got neither$/],
    ['with both', { message: 'a', messages: [{ role: 'user' }] }, /got both$/],
    ['with no messages', { messages: [] }, /request\.messages: .*got an empty array/],
    ['with messages that are a text', { messages: 'Hi' }, /request\.messages: /],
    ['with a message that has no role', { messages: [{ content: 'Hi' }] }, /request\.messages\[0\]\.role/],
    ['with a message that is a number', { message: 7 }, /request\.message: expected a string/],
    ['null', null, /^request: expected an object, got null$/],
    ['an array', [], /^request: expected an object, got an array$/],
    ['a text', 'Hi', /^request: expected an object, got a string$/],
    ['circular', circular, /^request: cannot be written as JSON/],
    ['with a big integer in it', { message: 'Hi', metadata: { n: 1n } }, /^request\.metadata\.n: .*got 1n$/],
    ['with no number in its depth', { message: 'Hi', x: { y: [NaN] } }, /^request\.x\.y\[0\]: .*got NaN$/, RangeError],
    ['with no number in an unknown field', { message: 'Hi', x: Infinity }, /^request\.x: .*got Infinity$/, RangeError],
    ['with an n that is none', { message: 'Hi', n: Number.NaN }, /request\.n: expected .*got NaN/],
    ['with a seed that is none', { message: 'Hi', seed: Infinity }, /request\.seed: expected .*got Infinity/],
    ['with a temperature that is none', { message: 'Hi', temperature: Number.NaN }, /request\.temperature: .*got NaN/],
    ['with a temperature beyond all', { message: 'Hi', temperature: 3 }, /temperature: .*got 3/, RangeError],
    ['with a temperature in words', { message: 'Hi', temperature: 'hot' }, /request\.temperature: .*got "hot"/],
  ]

  test.each(wrong)('%s is refused before any limit is charged', async (_what, request, message, type) => {
    const router = routed()
    const calls = [
      () => router.invoke('default', any(request)),
      async () => await router.stream('default', any(request)).completion(),
      async () => router.estimateWaitMs('default', any(request)),
    ]
    for (const call of calls) {
      const error = await caught((async () => await call())())
      expect(error).toBeInstanceOf(type ?? Error)
      expect(['TypeError', 'RangeError']).toContain(error.name)
      expect(error.message).toMatch(message)
    }
    const [first] = await collected(router.invokeMany('default', [any(request)]))
    expect(any<Error>(first).message).toMatch(message)
    expect(router.stats()).toMatchObject({ inFlight: 0, waiting: 0 })
    expect(router.stats().groups['default']?.deployments[0]?.window).toEqual({ requests: 0, tokens: 0 })
    expect(server.seen).toHaveLength(0)
  })

  test('of another kind is refused as well', async () => {
    const embedding = new EmbeddingRouter().addProvider({ type: 'dummy' }).deploy('default', 'dummy::e')
    const rerank = new RerankRouter().addProvider({ type: 'dummy' }).deploy('default', 'dummy::r')
    for (const input of [undefined, [], '', 7, ['a', 7]]) {
      const error = await caught(embedding.invoke('default', any({ input })))
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toMatch(/request\.input/)
    }
    for (const request of [{ documents: ['a'] }, { query: 'q' }, { query: 'q', documents: [] }, { query: 1 }]) {
      expect(await caught(rerank.invoke('default', any(request)))).toBeInstanceOf(TypeError)
    }
    expect(await caught(rerank.invoke('default', { query: 'q', documents: ['a'], top_n: 0 }))).toBeInstanceOf(
      RangeError,
    )
  })
})

describe('a request that is larger than a limit', () => {
  test.each([
    ['a deployment’s', { tpm: 100 }, {}],
    ['a provider’s', {}, { tpm: 100 }],
    ['the smaller of both', { tpm: 100_000 }, { tpm: 100 }],
  ])('%s is refused at once with both numbers, however long it may wait', async (_whose, deploy, limits) => {
    const router = new CompletionRouter()
    router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url, apiKey: 'sk-large', ...limits })
    router.deploy('default', 'local::m', deploy)
    const request = { message: 'Hi', max_completion_tokens: 5000 }
    const errors = [
      await caught(router.invoke('default', request, { queueMs: 600_000 })),
      await caught(router.stream('default', request, { queueMs: 600_000 }).completion()),
      thrownBy(() => router.estimateWaitMs('default', request)),
    ]
    for (const error of errors) {
      expect(error).toMatchObject({ name: 'ThrydError', code: 'ERR_TOO_LARGE', retryable: false })
      // What was asked for, prompt included, and what there is.
      expect(error.message).toMatch(/\b50[01]\d\b.*\b100\b/)
    }
    expect(router.stats()).toMatchObject({ inFlight: 0, waiting: 0 })
    expect(server.seen).toHaveLength(0)
  })
})

describe('options of a batch', () => {
  test.each([
    [{ bogus: 1 }, TypeError, /invoke options\.bogus/],
    [{ queueMs: -1 }, RangeError, /invoke options\.queueMs: expected a number of at least 0, got -1/],
  ])('%o are refused when it is made, even an empty one', (options, type, message) => {
    const router = new CompletionRouter()
    router.addProvider({ type: 'dummy' }).deploy('default', 'dummy::m')
    const begin = () => router.invokeMany('default', [], options as object)
    expect(begin).toThrow(type)
    expect(begin).toThrow(message)
  })
})
