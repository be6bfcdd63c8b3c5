import { getEventListeners } from 'node:events'

import fc from 'fast-check'
import { beforeEach, describe, expect, test, vi } from 'vitest'

import { type BatchOptions, type BatchProgress, type CompletionRequest, CompletionRouter } from '../../js'
import { completionLetter, failedLetter, post, reset, script, seen } from '../support/native'

vi.mock('../../js/native', async () => await import('../support/native'))

beforeEach(reset)

type Requests = Iterable<CompletionRequest> | AsyncIterable<CompletionRequest>

const many = (count: number): CompletionRequest[] =>
  Array.from({ length: count }, (_, index) => ({ message: `${index}` }))
const messageOf = (id: number): string =>
  (seen.invoked.find((call) => call.id === id) as { request: { message: string } }).request.message

async function* later<Value>(values: Iterable<Value>): AsyncGenerator<Value> {
  for (const value of values) {
    await Promise.resolve()
    yield value
  }
}

async function collect(requests: Requests, options?: BatchOptions): Promise<string[]> {
  const results: string[] = []
  for await (const result of new CompletionRouter().invokeMany('g', requests, options)) {
    results.push(result instanceof Error ? result.message : result.content)
  }
  return results
}

describe('a batch', () => {
  test('gives results in order and keeps to its concurrency, whatever finishes first', async () => {
    const outcome = fc.record({ at: fc.constantFrom('once', 'soon', 'late'), fails: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(
        fc.array(outcome, { maxLength: 60 }),
        fc.integer({ min: 1, max: 8 }),
        fc.boolean(),
        async (plan, concurrency, isAsync) => {
          reset()
          let inFlight = 0
          let most = 0
          script.invoke = (id) => {
            const message = messageOf(id)
            const { at, fails } = plan[Number(message)] ?? { at: 'once', fails: false }
            const letter = fails ? failedLetter(id, { message }) : completionLetter(id, message)
            if (at === 'once') return letter
            inFlight += 1
            most = Math.max(most, inFlight)
            const send = (): void => {
              inFlight -= 1
              post(letter)
            }
            if (at === 'soon') setImmediate(send)
            else setImmediate(() => setImmediate(send))
            return null
          }
          const requests = many(plan.length)
          const seenProgress: BatchProgress[] = []
          const results = await collect(isAsync ? later(requests) : requests, {
            concurrency,
            onProgress: (progress) => seenProgress.push(progress),
          })
          expect(results).toEqual(requests.map(({ message }) => message))
          expect(most).toBeLessThanOrEqual(concurrency)
          expect(seenProgress.map(({ done }) => done)).toEqual(requests.map((_, index) => index + 1))
          expect(seenProgress.at(-1)?.failed ?? 0).toBe(plan.filter(({ fails }) => fails).length)
          expect(seen.isHeld).toBe(false)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('tells what the cache answered, what it cost and how long it will take', async () => {
    script.invoke = (id) => completionLetter(id, '', Number(messageOf(id)) % 2 === 0 ? 'memory' : 'miss')
    const progress: BatchProgress[] = []
    await collect(many(4), { onProgress: (each) => progress.push(each) })
    expect(progress.at(-1)).toEqual({ done: 4, failed: 0, cached: 2, tokens: 6, total: 4, etaMs: 0 })
    expect(progress[0]?.etaMs).toBeGreaterThanOrEqual(0)
    progress.length = 0
    await collect(later(many(1)), { onProgress: (each) => progress.push(each) })
    expect(progress).toEqual([{ done: 1, failed: 0, cached: 1, tokens: 0 }])
  })

  test('puts a bad request in its place and goes on', async () => {
    script.invoke = (id) => completionLetter(id, 'fine')
    const results = await collect([{ message: 'a' }, 7 as never, { message: 'b' }])
    expect(results).toEqual(['fine', 'request: expected an object, got 7', 'fine'])
  })

  test('has errors with the frames of whoever called it', async () => {
    script.invoke = (id) => failedLetter(id, { message: 'no' })
    async function callerOfMany(): Promise<Error | undefined> {
      for await (const result of new CompletionRouter().invokeMany('g', many(1)))
        if (result instanceof Error) return result
      return undefined
    }
    expect((await callerOfMany())?.stack).toMatch(/^ThrydError: no\n.*callerOfMany/s)
  })

  test('hands each call its own options', async () => {
    script.invoke = (id) => completionLetter(id, '')
    await collect(many(1), { concurrency: 2, onProgress: () => undefined, namespace: 'a', totalMs: 5 })
    expect(seen.invoked[0]?.options).toEqual({ namespace: 'a', totalMs: 5 })
  })

  test('does not read the source much further than its reader', async () => {
    script.invoke = (id) => completionLetter(id, '')
    let read = 0
    function* endless(): Generator<CompletionRequest> {
      for (;;) {
        read += 1
        yield { message: `${read}` }
      }
    }
    for await (const _ of new CompletionRouter().invokeMany('g', endless(), { concurrency: 2 })) break
    expect(read).toBeLessThanOrEqual(2 * 16 + 1)
  })
})

describe('leaving a batch', () => {
  test('cancels what is under way, closes the source, lets the process end', async () => {
    let isClosed = false
    async function* source(): AsyncGenerator<CompletionRequest> {
      try {
        for (const request of many(100)) yield request
      } finally {
        isClosed = true
      }
    }
    script.invoke = (id) => (messageOf(id) === '0' ? completionLetter(id, '') : null)
    for await (const _ of new CompletionRouter().invokeMany('g', source(), { concurrency: 4 })) {
      await new Promise((resolve) => setImmediate(resolve))
      break
    }
    expect(seen.cancelled).toHaveLength(4)
    expect(isClosed).toBe(true)
    expect(seen.isHeld).toBe(false)
  })

  test('does not wait for a source that never comes back', async () => {
    script.invoke = (id) => completionLetter(id, '')
    const source = {
      [Symbol.asyncIterator]: () => {
        let isFirst = true
        return {
          next: () => {
            const step = isFirst
              ? Promise.resolve({ done: false as const, value: { message: '0' } })
              : new Promise<never>(() => {})
            isFirst = false
            return step
          },
          return: () => new Promise<never>(() => {}),
        }
      },
    }
    let count = 0
    for await (const _ of new CompletionRouter().invokeMany('g', source)) {
      count += 1
      break
    }
    expect(count).toBe(1)
  })
})

describe('a batch ends', () => {
  test('with the reason of its signal, which keeps no listener', async () => {
    const controller = new AbortController()
    const results = collect(many(5), { signal: controller.signal, concurrency: 2 })
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1)
    controller.abort('enough')
    await expect(results).rejects.toBe('enough')
    expect(seen.cancelled).toHaveLength(2)
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
    await expect(collect(many(5), { signal: controller.signal })).rejects.toBe('enough')
    expect(seen.invoked).toHaveLength(2)
  })

  test('with the error of its source, after the results before it', async () => {
    script.invoke = (id) => {
      post(completionLetter(id, messageOf(id)))
      return null
    }
    async function* source(): AsyncGenerator<CompletionRequest> {
      yield* many(3)
      throw new Error('the file ends')
    }
    const results: string[] = []
    const reading = (async () => {
      for await (const result of new CompletionRouter().invokeMany('g', source())) results.push(`${result}`)
    })()
    await expect(reading).rejects.toThrow('the file ends')
    expect(results).toEqual(['0', '1', '2'])
  })

  test('with what onProgress throws', async () => {
    script.invoke = (id) => completionLetter(id, '')
    const onProgress = (): void => {
      throw new Error('no terminal')
    }
    await expect(collect(many(5), { onProgress })).rejects.toThrow('no terminal')
  })
})

describe('a source that cannot be closed', () => {
  function* source(): Generator<CompletionRequest> {
    try {
      yield* many(100)
    } finally {
      // oxlint-disable-next-line no-unsafe-finally -- this is what is feared
      throw new Error('no end')
    }
  }

  test.each(['its signal', 'onProgress'])('is no unhandled rejection when %s ends the batch', async (by) => {
    const unhandled: unknown[] = []
    const listener = (reason: unknown): void => void unhandled.push(reason)
    process.on('unhandledRejection', listener)
    const controller = new AbortController()
    script.invoke = (id) => (by === 'its signal' ? null : completionLetter(id, ''))
    const onProgress = (): void => {
      throw new Error('enough')
    }
    const results = collect(source(), { signal: controller.signal, concurrency: 2, onProgress })
    const ended = results.catch((error: unknown) => error)
    await new Promise((resolve) => setImmediate(resolve))
    controller.abort(new Error('enough'))
    expect(await ended).toMatchObject({ message: 'enough' })
    await new Promise((resolve) => setImmediate(resolve))
    process.off('unhandledRejection', listener)
    expect(unhandled).toEqual([])
  })

  test('is told to whoever leaves', async () => {
    script.invoke = (id) => completionLetter(id, '')
    const leaving = (async () => {
      for await (const _ of new CompletionRouter().invokeMany('g', source(), { concurrency: 1 })) break
    })()
    await expect(leaving).rejects.toThrow('no end')
  })
})

describe('bad arguments', () => {
  test.each([
    ['requests that are a text', 'abc', {}, /^requests: expected an iterable/],
    ['requests that are none', undefined, {}, /^requests: expected an iterable/],
    [
      'no concurrency at all',
      [],
      { concurrency: 0 },
      /^options\.concurrency: expected an integer from 1 to \d+, got 0/,
    ],
    ['half a concurrency', [], { concurrency: 1.5 }, /^options\.concurrency/],
    ['a concurrency in words', [], { concurrency: '4' }, /^options\.concurrency/],
    ['a progress that is no function', [], { onProgress: {} }, /^options\.onProgress: expected a function/],
    ['a signal that is none', [], { signal: 'x' }, /^options\.signal: expected an AbortSignal/],
  ])('%s: thrown at the call', (_what, requests, options, message) => {
    expect(() => new CompletionRouter().invokeMany('g', requests as never, options as never)).toThrow(message)
  })

  test('null options are absent', async () => {
    script.invoke = (id) => completionLetter(id, 'x')
    const options = { concurrency: null, onProgress: null, signal: null } as never
    expect(await collect(many(2), options)).toEqual(['x', 'x'])
  })
})
