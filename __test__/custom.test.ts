import { inspect } from 'node:util'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { type CompletionRequest, CompletionRouter, type CustomProvider, EmbeddingRouter, RerankRouter } from '..'
import { caught, collected } from './support/caught'

/** A router whose providers are asked in this order. */
function routed(...providers: CustomProvider[]): CompletionRouter {
  const router = new CompletionRouter({ retry: { baseDelayMs: 0, cooldownMs: 1 } })
  for (const provider of providers) router.addProvider(provider).deploy('default', `${provider.name}::m`)
  return router.configureGroup('default', { strategy: 'first-available' })
}

const good: CustomProvider = { name: 'good', complete: async ({ messages }) => `good: ${messages?.at(-1)?.content}` }

function failing(thrown: unknown, name = 'bad'): CustomProvider & { calls: number } {
  return {
    name,
    calls: 0,
    complete() {
      this.calls += 1
      return Promise.reject(thrown)
    },
  }
}

describe('a provider in JavaScript', () => {
  test('answers with a promise of a text', async () => {
    const answer = await routed(good).invoke('default', { message: 'Hi' })
    expect(answer).toMatchObject({ content: 'good: Hi', deployment: 'good::m', finishReason: 'stop' })
    expect(answer.usage.estimated).toBe(true)
    expect(answer.raw).toMatchObject({ choices: [{ message: { content: 'good: Hi' } }] })
  })

  test('answers in OpenAI’s shape, and its usage counts', async () => {
    const tool_calls = [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }]
    const body = {
      model: 'inner',
      choices: [{ index: 0, message: { role: 'assistant', content: null, tool_calls }, finish_reason: 'tool_calls' }],
      usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
    }
    const answer = await routed({ name: 'mine', complete: async () => body }).invoke('default', { message: 'Hi' })
    expect(answer).toMatchObject({ model: 'inner', toolCalls: [{ id: 'c', name: 'f', arguments: '{}' }] })
    expect(answer.usage).toEqual({ promptTokens: 7, completionTokens: 3, totalTokens: 10 })
  })

  test('gets the request as it was, with the model and messages', async () => {
    let got: CompletionRequest | undefined
    const mine: CustomProvider = {
      name: 'mine',
      async complete(request, { signal }) {
        got = { ...request, isAborted: signal.aborted }
        return ''
      },
    }
    await routed(mine).invoke('default', { message: 'Hi', x_more: { deep: [1] } })
    expect(got).toEqual({
      model: 'm',
      messages: [{ role: 'user', content: 'Hi' }],
      x_more: { deep: [1] },
      isAborted: false,
    })
  })

  test('answers in pieces, to those who read them and to those who do not', async () => {
    const mine: CustomProvider = {
      name: 'mine',
      async *complete() {
        for (const word of ['one ', 'two ', 'three']) yield word
      },
    }
    const router = routed(mine)
    expect(`${await router.invoke('default', { message: 'Hi' })}`).toBe('one two three')
    const stream = router.stream('default', { message: 'Hi' })
    const chunks = await collected(stream)
    expect(chunks.map((chunk) => chunk.type === 'content' && chunk.delta)).toEqual(['one ', 'two ', 'three'])
    expect((await stream.completion()).content).toBe('one two three')
    const whole = await collected(routed(good).stream('default', { message: 'Hi' }))
    expect(whole.map((chunk) => chunk.type === 'content' && chunk.delta).join('')).toBe('good: Hi')
  })

  test('gives vectors of either form, and rankings', async () => {
    const vectors = [
      [1, 2],
      [3, 4],
    ]
    const forms: [string, CustomProvider['embed']][] = [
      ['plain', async () => vectors],
      ['typed', async () => vectors.map((vector) => new Float32Array(vector))],
    ]
    for (const [name, embed] of forms) {
      const router = new EmbeddingRouter().addProvider({ name, embed: embed as never }).deploy('d', `${name}::m`)
      const answer = await router.invoke('d', { input: ['a', 'b'] })
      expect(answer.vectors).toEqual(vectors.map((vector) => new Float32Array(vector)))
    }
    const rerank = new RerankRouter()
    const results = [
      { index: 0, score: 0.1 },
      { index: 1, score: 0.9 },
    ]
    rerank.addProvider({ name: 'mine', rerank: async () => results }).deploy('d', 'mine::m')
    const ranking = await rerank.invoke('d', { query: 'q', documents: ['a', 'b'] })
    expect(ranking.results).toEqual(results.toReversed())
  })

  test('that cannot do what is asked says so', async () => {
    const router = new EmbeddingRouter().addProvider({ name: 'mine', complete: async () => '' })
    const attempt = async () => await router.deploy('d', 'mine::m').invoke('d', { input: 'a' })
    expect(await caught(attempt())).toMatchObject({ code: 'ERR_UNSUPPORTED' })
  })

  test('may stand in the options beside groups that name it', async () => {
    const router = new CompletionRouter({
      providers: [good, { type: 'dummy' }],
      groups: {
        default: { strategy: 'first-available', deployments: [{ model: 'good::m', rpm: 1 }, 'dummy::echo'] },
        spare: { deployments: ['dummy::echo'], fallbacks: ['default'] },
      },
    })
    expect(router.groups().toSorted()).toEqual(['default', 'spare'])
    expect((await router.invoke('default', { message: 'a' })).deployment).toBe('good::m')
    expect((await router.invoke('default', { message: 'b' })).deployment).toBe('dummy::echo')
  })

  test('may ask another router, its own included', async () => {
    const inner = routed(good)
    const router: CompletionRouter = new CompletionRouter({
      providers: [
        {
          name: 'outer',
          complete: async ({ messages }) => `outer ${await inner.invoke('default', { messages: messages ?? [] })}`,
        },
        {
          name: 'twice',
          complete: async ({ messages }) => `twice ${await router.invoke('outer', { messages: messages ?? [] })}`,
        },
      ],
      groups: { outer: { deployments: ['outer::m'] }, twice: { deployments: ['twice::m'] } },
    })
    expect(`${await router.invoke('twice', { message: 'Hi' })}`).toBe('twice outer good: Hi')
  })
})

describe('a provider that is removed', () => {
  test('finishes the calls that wait for it, and serves new ones when it is added again', async () => {
    const router = routed({ name: 'c', complete: async () => 'old' })
    const answers = [
      router.invoke('default', { message: 'a' }),
      router.stream('default', { message: 'b' }).completion(),
    ]
    // Without a turn of the event loop: both have been sent, and the provider has not heard of them.
    const sent = (): number => router.stats().groups['default']?.deployments[0]?.inFlight ?? 0
    for (const began = performance.now(); sent() < 2 && performance.now() - began < 10_000;);
    expect(router.removeProvider('c')).toBe(true)
    router.addProvider({ name: 'c', complete: async () => 'new' }).deploy('again', 'c::m')
    expect(`${await router.invoke('again', { message: 'c' })}`).toBe('new')
    expect((await Promise.all(answers)).map(String)).toEqual(['old', 'old'])
    router.addProvider({ name: 'c', complete: async () => 'newest' })
    expect(`${await router.invoke('again', { message: 'd' })}`).toBe('newest')
  })
})

describe('a group', () => {
  test('keeps what configureGroup is not told to change', async () => {
    const router = routed(good, { name: 'other', complete: async () => 'other' })
    router.configureGroup('default', { fallbacks: ['spare'] })
    for (let call = 0; call < 4; call += 1) {
      expect((await router.invoke('default', { message: `${call}` })).deployment).toBe('good::m')
    }
  })
})

describe('what a provider throws', () => {
  const withStatus = (status: number, more: object = {}) =>
    Object.assign(new Error(`status ${status}`), { status, ...more })

  test.each([
    [429, 'rate-limited'],
    [401, 'auth'],
    [402, 'quota'],
    [404, 'auth'],
  ] as const)('%d fails over at once', async (status, outcome) => {
    const bad = failing(withStatus(status))
    const answer = await routed(bad, good).invoke('default', { message: 'Hi' })
    expect(answer.attempts).toMatchObject([{ deployment: 'bad::m', outcome, status }, { outcome: 'ok' }])
    expect(bad.calls).toBe(1)
  })

  test.each([400, 413, 422])('%d is the caller’s, and nobody else is asked', async (status) => {
    const error = await caught(routed(failing(withStatus(status)), good).invoke('default', { message: 'Hi' }))
    expect(error).toMatchObject({ name: 'ProviderError', status, deployment: 'bad::m', retryable: false })
    expect(error.message).toContain(`status ${status}`)
  })

  test('429 rests the deployment for as long as it says', async () => {
    const router = routed(failing(withStatus(429, { retryAfterMs: 20_000 })), good)
    await router.invoke('default', { message: 'Hi' })
    const [bad] = router.stats().groups['default']?.deployments ?? []
    expect(bad?.restMs).toBeGreaterThan(10_000)
    expect(bad?.restMs).toBeLessThanOrEqual(20_000)
  })

  test.each([
    ['an error without a status', new RangeError('broken')],
    ['a text', 'broken'],
    ['nothing', undefined],
    ['null', null],
    ['an object', { why: 'broken' }],
    ['a status that is none', Object.assign(new Error('broken'), { status: 'bad' })],
  ])('%s is one more try, then the others', async (_what, thrown) => {
    const answer = await routed(failing(thrown), good).invoke('default', { message: 'Hi' })
    expect(answer.deployment).toBe('good::m')
    expect(answer.attempts[0]).toMatchObject({ deployment: 'bad::m', outcome: 'transient' })
  })

  const unreadable = (what: string): never => {
    throw new Error(`nobody may look at the ${what}`)
  }
  test.each([
    [
      'an error whose message cannot be read',
      {
        get message() {
          return unreadable('message')
        },
      },
    ],
    ['an error that cannot be inspected', { [inspect.custom]: () => unreadable('object') }],
    ['a proxy that refuses everything', new Proxy({}, { get: () => unreadable('proxy') })],
    ['a symbol', Symbol('broken')],
    ['a number', 7],
    ['a function', () => 'broken'],
    ['a frozen object', Object.freeze({})],
  ])('%s is one more try as well', async (_what, thrown) => {
    const answer = await routed(failing(thrown), good).invoke('default', { message: 'Hi' })
    expect(answer.attempts[0]).toMatchObject({ deployment: 'bad::m', outcome: 'transient' })
    expect(answer.attempts[0]?.message).toMatch(/./)
    expect(answer.deployment).toBe('good::m')
  })

  test.each([
    ['without a promise', () => unreadable('call')],
    [
      'before the first piece',
      async function* () {
        yield unreadable('piece') as string
      },
    ],
    ['when it is asked for pieces', () => ({ [Symbol.asyncIterator]: () => unreadable('iterator') })],
  ])('%s is one more try as well', async (_when, complete) => {
    const bad = { name: 'bad', complete: complete as CustomProvider['complete'] } as CustomProvider
    const router = routed(bad, good)
    const answer = await router.invoke('default', { message: 'Hi' })
    expect(answer.attempts[0]).toMatchObject({ deployment: 'bad::m', outcome: 'transient' })
    expect(answer.deployment).toBe('good::m')
    const stream = router.stream('default', { message: 'Hi' })
    expect(await collected(stream)).not.toEqual([])
  })

  test.each([
    ['undefined', undefined],
    ['a number', 7],
    ['an object that says nothing', {}],
    ['a function', () => ''],
  ])('as well as an answer that is none (%s), ends with an error', async (_what, answer) => {
    const router = new CompletionRouter({ retry: { maxRetries: 0 } })
    router.addProvider({ name: 'bad', complete: async () => answer as never }).deploy('default', 'bad::m')
    const error = await caught(router.invoke('default', { message: 'Hi' }))
    expect(error).toMatchObject({ name: 'ProviderError', code: 'ERR_PROVIDER', deployment: 'bad::m' })
  })

  test('between two pieces ends a stream that was read, and not a call', async () => {
    let calls = 0
    const router = routed({
      name: 'mine',
      async *complete() {
        calls += 1
        yield 'Hel'
        if (calls % 2 === 1) throw withStatus(503)
        yield 'lo'
      },
    })
    const error = await caught(collected(router.stream('default', { message: 'Hi' })))
    expect(error).toMatchObject({ name: 'InterruptedError', delivered: 'Hel' })
    calls = 0
    expect(`${await router.invoke('default', { message: 'Hi' })}`).toBe('Hello')
  })
})

describe('the signal of a provider', () => {
  let fired: Promise<void>
  let asked: Promise<void>
  let router: CompletionRouter
  beforeEach(() => {
    asked = new Promise((isAsked) => {
      fired = new Promise((hasFired) => {
        router = routed({
          name: 'mine',
          complete: async (_request, { signal }) => {
            isAsked()
            await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
            hasFired()
            return 'late'
          },
        })
      })
    })
  })
  afterEach(() => router.close())

  test('fires when the caller aborts', async () => {
    const controller = new AbortController()
    const answer = router.invoke('default', { message: 'Hi' }, { signal: controller.signal })
    await asked
    controller.abort('enough')
    await expect(answer).rejects.toBe('enough')
    await fired
  })

  test('fires when its time is up', async () => {
    let isAsked = false
    void asked.then(() => (isAsked = true))
    // A busy machine may need longer than that to ask it at all.
    for (const totalMs of [20, 200, 2000]) {
      const error = await caught(router.invoke('default', { message: 'Hi' }, { totalMs }))
      expect(error).toMatchObject({ name: 'TimeoutError', phase: 'total' })
      if (isAsked) break
    }
    await fired
  })

  test('fires when the reader of its stream leaves', async () => {
    const iterator = router.stream('default', { message: 'Hi' })[Symbol.asyncIterator]()
    const next = iterator.next()
    await asked
    await iterator.return?.()
    expect((await next).done).toBe(true)
    await fired
  })
})
