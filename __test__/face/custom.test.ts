import { beforeEach, describe, expect, test, vi } from 'vitest'

import { CompletionRouter, type CustomProvider, EmbeddingRouter } from '../../js'
import { LetterKind } from '../../js/letter'
import { SOON } from '../support/idle'
import { post, reset, script, seen } from '../support/native'

vi.mock('../../js/native', async () => await import('../support/native'))

beforeEach(reset)

let lastCall = 0

/** The core calls a custom provider of the router that was made `back` places before the last one. */
function call(kind: string, back = 1, request: object = { message: 'Hi', model: 'm' }): number {
  lastCall += 1
  const { name, router } = seen.custom.at(-back) ?? { name: '', router: 0 }
  post({
    kind: LetterKind.Call,
    id: lastCall,
    text: JSON.stringify({ router, provider: name, kind, request, stream: false }),
  })
  return lastCall
}

async function repliesTo(id: number): Promise<{ type: string; value: unknown }[]> {
  await vi.waitFor(
    () => expect(seen.replies.some((reply) => reply.id === id && reply.type !== 'event')).toBe(true),
    SOON,
  )
  return seen.replies.filter((reply) => reply.id === id).map(({ type, value }) => ({ type, value }))
}

describe('a custom provider', () => {
  test('is known by its methods', () => {
    new CompletionRouter({ providers: [{ name: 'mine', complete: async () => '' }, { type: 'dummy' }] })
    expect(seen.custom).toMatchObject([{ name: 'mine', kinds: ['completion'] }])
    expect(seen.configured).toEqual([{ providers: [{ type: 'dummy' }] }])
  })

  test('gets the request and a signal, as itself, and its promise is the whole answer', async () => {
    class Mine implements CustomProvider {
      name = 'mine'
      greeting = 'Hello'
      async complete(
        request: { message?: string; model: string },
        { signal }: { signal: AbortSignal },
      ): Promise<string> {
        return `${this.greeting} ${request.message} ${request.model} ${signal.aborted}`
      }
    }
    const router = new CompletionRouter().addProvider(new Mine())
    expect(await repliesTo(call('completion'))).toEqual([{ type: 'whole', value: 'Hello Hi m false' }])
    void router
  })

  test('may give pieces', async () => {
    const router = new CompletionRouter().addProvider({
      name: 'mine',
      async *complete() {
        yield 'Hel'
        yield { choices: [] }
      },
    })
    expect(await repliesTo(call('completion'))).toEqual([
      { type: 'event', value: 'Hel' },
      { type: 'event', value: { choices: [] } },
      { type: 'end', value: undefined },
    ])
    void router
  })

  test('may give vectors of either form', async () => {
    for (const vectors of [[[1, 2]], [new Float32Array([1, 2])]]) {
      const router = new EmbeddingRouter().addProvider({ name: 'mine', embed: async () => vectors as number[][] })
      expect(await repliesTo(call('embedding'))).toEqual([{ type: 'whole', value: [[1, 2]] }])
      void router
    }
  })

  test('of one name in two routers is two providers', async () => {
    const routers = ['one', 'two'].map((text) =>
      new CompletionRouter().addProvider({ name: 'mine', complete: async () => text }),
    )
    const ids = [call('completion', 2), call('completion', 1)]
    const replies = await Promise.all(ids.map(repliesTo))
    expect(replies.flat().map(({ value }) => value)).toEqual(['one', 'two'])
    void routers
  })

  test('has its limits checked by the core, and nothing else of what it has', () => {
    const mine = { name: 'mine', complete: async () => '', apiKey: 'sk-its-own', rpm: 5, tpm: Number.NaN }
    new CompletionRouter().addProvider(mine).addProvider({ name: 'free', complete: async () => '' })
    expect(seen.custom.map(({ limits }) => limits)).toEqual([{ rpm: 5, tpm: 'NaN' }, {}])
  })

  test('that is wrongly made is a TypeError', () => {
    expect(() => new CompletionRouter().addProvider({ complete: async () => '' } as never)).toThrow(
      /^provider\.name: expected a string/,
    )
  })
})

describe('what a custom provider throws', () => {
  class Overloaded extends Error {
    override name = 'Overloaded'
    status = 429
    retryAfterMs = 50
  }

  test.each([
    [
      'an error with a status',
      new Overloaded('busy'),
      { message: 'busy', name: 'Overloaded', status: 429, retryAfterMs: 50 },
    ],
    [
      'an error',
      new RangeError('broken'),
      { message: 'broken', name: 'RangeError', body: expect.stringContaining('custom.test.ts') },
    ],
    ['a text', 'broken', { message: 'broken' }],
    ['a status that is none', Object.assign(new Error('odd'), { status: 1e6 }), { message: 'odd' }],
    ['an object', { status: 503, message: 'down' }, { message: 'down', status: 503 }],
    ['an object that says nothing', { why: 1 }, { message: '{ why: 1 }' }],
    ['nothing', undefined, { message: 'undefined' }],
  ])('%s reaches the core', async (_what, thrown, expected) => {
    const router = new CompletionRouter().addProvider({ name: 'mine', complete: () => Promise.reject(thrown) })
    const [reply] = await repliesTo(call('completion'))
    expect(reply).toMatchObject({ type: 'error', value: expected })
    void router
  })

  test('is the same whether it throws at once or between two pieces', async () => {
    const router = new CompletionRouter()
    router.addProvider({
      name: 'mine',
      complete: () => {
        throw new Error('at once')
      },
    })
    expect(await repliesTo(call('completion'))).toMatchObject([{ type: 'error', value: { message: 'at once' } }])
    router.addProvider({
      name: 'mine',
      async *complete() {
        yield 'Hel'
        throw new Error('later')
      },
    })
    expect(await repliesTo(call('completion'))).toMatchObject([
      { type: 'event' },
      { type: 'error', value: { message: 'later' } },
    ])
  })

  test('includes answers that are none', async () => {
    const circular: Record<string, unknown> = {}
    circular['self'] = circular
    for (const answer of [undefined, () => '', circular]) {
      const router = new CompletionRouter().addProvider({ name: 'mine', complete: async () => answer as never })
      expect(await repliesTo(call('completion'))).toMatchObject([
        { type: 'error', value: { name: 'TypeError', message: /^mine\.complete\(\)/ } },
      ])
      void router
    }
  })
})

describe('a provider that was taken away or replaced', () => {
  const mine = (text: string): CustomProvider => ({ name: 'mine', complete: async () => text })

  test('answers the calls that were made for it', async () => {
    script.reply = () => JSON.stringify({ ok: { inFlight: 1 } })
    const router = new CompletionRouter().addProvider(mine('first'))
    router.removeProvider('mine')
    router.addProvider(mine('second')).addProvider(mine('third'))
    const ids = [call('completion', 3), call('completion', 2), call('completion', 1)]
    const replies = await Promise.all(ids.map(repliesTo))
    expect(replies.flat().map(({ value }) => value)).toEqual(['first', 'second', 'third'])
    void router
  })

  test('is let go of when no call is in flight', async () => {
    script.reply = () => JSON.stringify({ ok: { inFlight: 0 } })
    const router = new CompletionRouter().addProvider(mine('first')).addProvider(mine('second'))
    call('completion', 2)
    expect(await repliesTo(call('completion', 1))).toEqual([{ type: 'whole', value: 'second' }])
    expect(seen.replies).toHaveLength(1)
    void router
  })
})

describe('a call that nobody wants any more', () => {
  test('fires its signal, and what comes after is not sent', async () => {
    let isAborted = false
    const router = new CompletionRouter().addProvider({
      name: 'mine',
      complete: async (_request, { signal }) => {
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
        isAborted = true
        return 'late'
      },
    })
    const id = call('completion')
    post({ kind: LetterKind.Abort, id })
    await vi.waitFor(() => expect(isAborted).toBe(true), SOON)
    await new Promise((resolve) => setImmediate(resolve))
    expect(seen.replies).toEqual([])
    void router
  })

  test('closes its iterable', async () => {
    let isClosed = false
    const router = new CompletionRouter().addProvider({
      name: 'mine',
      async *complete() {
        try {
          for (;;) {
            await new Promise((resolve) => setImmediate(resolve))
            yield 'x'
          }
        } finally {
          isClosed = true
        }
      },
    })
    const id = call('completion')
    await vi.waitFor(() => expect(seen.replies.length).toBeGreaterThan(2), SOON)
    post({ kind: LetterKind.Abort, id })
    await vi.waitFor(() => expect(isClosed).toBe(true), SOON)
    expect(seen.replies.every(({ type }) => type === 'event')).toBe(true)
    void router
  })
})
