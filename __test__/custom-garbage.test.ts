import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { type CompletionRequest, CompletionRouter, type CustomProvider, type ThrydError } from '..'
import { caught } from './support/caught'

type Complete = (request: CompletionRequest, context: { signal: AbortSignal }) => unknown

/** What nobody caught while a test ran. */
let uncaught: unknown[]
const onUncaught = (reason: unknown): void => void uncaught.push(reason)
beforeEach(() => {
  uncaught = []
  process.on('unhandledRejection', onUncaught)
})
afterEach(async () => {
  // Told at the end of a turn.
  await turn()
  process.off('unhandledRejection', onUncaught)
  if (uncaught.length > 0) throw new Error('nobody caught this', { cause: uncaught })
})

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

/** A router with one provider, `bad`, that does this to those who say "Hi" and answers all others. */
function routed(complete: Complete, clocks: object = {}): CompletionRouter {
  const bad = {
    name: 'bad',
    complete: (request: CompletionRequest, context: { signal: AbortSignal }) =>
      request.messages?.at(-1)?.content === 'Hi' ? complete(request, context) : Promise.resolve('still here'),
  } as CustomProvider
  const router = new CompletionRouter({
    retry: { maxRetries: 0, cooldownMs: 1 },
    timeouts: { attemptMs: 5000, idleMs: 5000, firstTokenMs: 5000, ...clocks },
  })
  return router.addProvider(bad).deploy('default', 'bad::m')
}

/** Waits until nothing is held, and asks again. */
async function answersAgain(router: CompletionRouter): Promise<boolean> {
  for (const until = performance.now() + 10_000; performance.now() < until;) {
    const { inFlight, waiting, groups } = router.stats()
    // After a failure it rests for a moment.
    if (inFlight + waiting + (groups['default']?.deployments[0]?.inFlight ?? 1) === 0) {
      const answer = await router.invoke('default', { message: 'and now?' }).catch(String)
      if (`${answer}` === 'still here') {
        await router.close()
        return true
      }
    }
    await new Promise((resolve) => void setTimeout(resolve, 2))
  }
  return false
}

/** What is to be said of each way of asking. */
const NAMED = { isTyped: true, isNamed: true, attempts: ['bad::m'], answersAgain: true }
const BOTH = [NAMED, NAMED]

/** What is said of the errors that a whole answer and a stream end with. */
async function outcomes(complete: Complete, clocks: object = {}): Promise<object[]> {
  const asks = [
    (router: CompletionRouter) => router.invoke('default', { message: 'Hi' }),
    (router: CompletionRouter) => router.stream('default', { message: 'Hi' }).completion(),
  ]
  const said = []
  for (const ask of asks) {
    const router = routed(complete, clocks)
    const error = (await caught(ask(router))) as unknown as ThrydError
    said.push({
      isTyped: error.code.startsWith('ERR_'),
      isNamed: error.message.includes('bad'),
      attempts: error.attempts.map(({ deployment }) => deployment),
      answersAgain: await answersAgain(router),
    })
  }
  return said
}

const unreadable = (): never => {
  throw new Error('nobody may look')
}
const circular: Record<string, unknown> = {}
circular['itself'] = circular
const garbage: [what: string, value: unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['a number', 7],
  ['no number', Number.NaN],
  ['a big integer', 7n],
  ['a symbol', Symbol('s')],
  ['a flag', true],
  ['a function', () => 'Hi'],
  ['a circle', circular],
  ['a list', ['Hi']],
  ['an object that says nothing', {}],
  ['an object whose field cannot be read', Object.defineProperty({}, 'content', { enumerable: true, get: unreadable })],
  ['an object that cannot be written', { toJSON: unreadable }],
  ['a proxy that refuses everything', new Proxy({}, { get: unreadable, ownKeys: unreadable, has: unreadable })],
  ['content that is a number', { content: 7 }],
  ['choices that are a text', { choices: 'Hi' }],
  ['a chunk of a kind that is none', { type: 'invented', delta: 'Hi' }],
]

describe('a custom provider that gives garbage', () => {
  test.each(garbage)('%s, is named by the error', async (_what, value) => {
    expect(await outcomes(() => Promise.resolve(value))).toEqual(BOTH)
    expect(
      await outcomes(async function* () {
        yield value
      }),
    ).toEqual(BOTH)
  })

  test('of any sort answers or is named, and never hangs', async () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withSparseArray: true,
      withNullPrototype: true,
      values: [fc.string(), fc.double(), fc.constantFrom('Hi', null, undefined, circular)],
      key: fc.constantFrom(
        'content',
        'delta',
        'type',
        'choices',
        'message',
        'tool_calls',
        'index',
        'error',
        'toJSON',
        'x',
      ),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(anything, { maxLength: 4 }), fc.boolean(), async (values, isStreamed) => {
        const router = routed(async function* () {
          yield* values
        })
        const asked = isStreamed
          ? router.stream('default', { message: 'Hi' }).completion()
          : router.invoke('default', { message: 'Hi' })
        const isAnswer = await asked.then(
          ({ content }) => typeof content === 'string',
          ({ code, message }: ThrydError) => code.startsWith('ERR_') && message.includes('bad'),
        )
        expect(isAnswer).toBe(true)
        expect(await answersAgain(router)).toBe(true)
      }),
      { numRuns: 150 },
    )
  })

  test('that is huge is refused, and not kept in its error', async () => {
    const huge = 'x'.repeat(9 << 20)
    expect(await outcomes(() => Promise.resolve(huge.repeat(8)))).toEqual(BOTH)
    expect(
      await outcomes(async function* () {
        for (;;) yield huge
      }),
    ).toEqual(BOTH)
    const error = await caught(routed(() => Promise.reject(new Error(huge))).invoke('default', { message: 'Hi' }))
    expect(error.message.length).toBeLessThan(10_000)
  }, 60_000)
})

describe('a custom provider that throws', () => {
  const message = { get: unreadable }
  const isBroken = true
  test.each<[string, unknown]>([
    ['a text', 'broken'],
    ['nothing', undefined],
    ['null', null],
    ['a big integer', 7n],
    ['a circle', circular],
    ['a frozen error', Object.freeze(new Error('broken'))],
    ['an error whose message cannot be read', Object.defineProperty(new Error('broken'), 'message', message)],
    ['an error whose stack cannot be read', Object.defineProperty(new Error('broken'), 'stack', message)],
    ['an error whose status is odd', Object.assign(new Error('broken'), { status: 1e9, retryAfterMs: -1 })],
    ['an error whose cause is itself', Object.assign(new Error('broken'), { cause: circular })],
    ['a proxy that refuses everything', new Proxy(new Error('broken'), { get: unreadable, ownKeys: unreadable })],
  ])('%s, is named by the error', async (_what, thrown) => {
    expect(
      await outcomes(() => {
        throw thrown
      }),
    ).toEqual(BOTH)
    expect(await outcomes(() => Promise.reject(thrown))).toEqual(BOTH)
    expect(
      await outcomes(async function* () {
        if (isBroken) throw thrown
        yield ''
      }),
    ).toEqual(BOTH)
    expect(
      await outcomes(() => ({
        [Symbol.asyncIterator]: () => ({
          next: () => {
            throw thrown
          },
        }),
      })),
    ).toEqual(BOTH)
  })
})

describe('a custom provider that never comes to an end', () => {
  const never = new Promise<never>(() => undefined)
  const clocks = { attemptMs: 40, firstTokenMs: 40, idleMs: 40 }
  test.each<[string, Complete]>([
    ['never resolves', () => never],
    // oxlint-disable-next-line unicorn/no-thenable
    ['has a `then` that says nothing', () => ({ then: () => undefined })],
    [
      'never yields',
      async function* () {
        yield await never
      },
    ],
    [
      'never yields again',
      async function* () {
        yield 'Hi'
        await never
      },
    ],
    ['has an iterator that never steps', () => ({ [Symbol.asyncIterator]: () => ({ next: () => never }) })],
  ])('that %s is ended by the clocks', async (_what, complete) => {
    expect(await outcomes(complete, clocks)).toEqual(BOTH)
  })

  test('resolves when nobody waits any more, which is nothing to anybody', async () => {
    let resolve: (value: unknown) => void = () => undefined
    let reject: (reason: unknown) => void = () => undefined
    for (const end of [() => resolve('late'), () => reject(new Error('late'))]) {
      const router = routed(() => new Promise((...both) => ([resolve, reject] = both)), clocks)
      await caught(router.invoke('default', { message: 'Hi' }))
      end()
      await turn()
      expect(await answersAgain(router)).toBe(true)
    }
  })

  test('keeps neither the loop nor the memory, though it never waits', async () => {
    let yielded = 0
    const router = routed(async function* () {
      for (;;) yield `${(yielded += 1)} `.padEnd(1000)
    })
    const chunks = router.stream('default', { message: 'Hi' })[Symbol.asyncIterator]()
    await chunks.next()
    // Its reader pauses: what was yielded and not read is bounded.
    let before = -1
    for (let turns = 0; turns < 1000 && before !== yielded; turns += 1) {
      before = yielded
      await new Promise((resolve) => void setTimeout(resolve, 20))
    }
    expect(before).toBe(yielded)
    expect(yielded).toBeLessThan(2000)
    // And it goes on when he does.
    for (let read = 0; read < 3000; read += 1) expect((await chunks.next()).done).toBe(false)
    await chunks.return?.()
    expect(await answersAgain(router)).toBe(true)
  })

  test('is ended by the clock of the call, though it never waits', async () => {
    const router = routed(async function* () {
      for (;;) yield 'x'
    })
    const error = await caught(router.invoke('default', { message: 'Hi' }, { totalMs: 100 }))
    expect(error).toMatchObject({ name: 'TimeoutError', phase: 'total' })
    expect(await answersAgain(router)).toBe(true)
  })
})

describe('the iterator of a custom provider', () => {
  const left: [string, () => unknown][] = [
    ['throws', unreadable],
    ['rejects', () => Promise.reject(new Error('nobody may leave'))],
    ['hangs', () => new Promise(() => undefined)],
    ['gives nonsense', () => 7],
  ]
  /** Steps for as long as it is asked. */
  const stepping = (value: unknown, onReturn: () => unknown, onLeft: () => void): Complete => {
    return () => ({
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          await turn()
          return { done: false, value }
        },
        return: () => {
          onLeft()
          return onReturn()
        },
      }),
    })
  }

  test.each(left)('is told that its reader left, and %s', async (_what, onReturn) => {
    let told = (): void => undefined
    const isTold = new Promise<void>((resolve) => (told = resolve))
    const router = routed(stepping('Hi', onReturn, () => told()))
    const chunks = router.stream('default', { message: 'Hi' })[Symbol.asyncIterator]()
    await chunks.next()
    await chunks.return?.()
    await isTold
    expect(await answersAgain(router)).toBe(true)
  })

  test.each(left)('is told that it gave garbage, and %s: nobody waits for that', async (_what, onReturn) => {
    let times = 0
    expect(await outcomes(stepping(7n, onReturn, () => (times += 1)))).toEqual(BOTH)
    expect(times).toBe(2)
  })

  test.each([
    ['a number', 7],
    ['nothing', undefined],
    ['a promise of nothing', Promise.resolve()],
  ])('that steps with %s is named by the error', async (_what, step) => {
    expect(await outcomes(() => ({ [Symbol.asyncIterator]: () => ({ next: () => step }) }))).toEqual(BOTH)
  })
})
