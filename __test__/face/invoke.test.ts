import { getEventListeners } from 'node:events'
import { inspect } from 'node:util'

import { beforeEach, describe, expect, test, vi } from 'vitest'

import { CompletionRouter, EmbeddingRouter, RateLimitError, Router, ThrydError } from '../../js'
import { LetterKind } from '../../js/letter'
import { completionLetter, failedLetter, failure, post, reset, script, seen } from '../support/native'

vi.mock('../../js/native', async () => await import('../support/native'))

beforeEach(reset)

const request = { message: 'Hi' }

describe('an answer', () => {
  test('is the text when it is printed, and keeps its raw form out of JSON and inspection', async () => {
    script.invoke = (id) => completionLetter(id, 'Hello', 'memory')
    const answer = await new CompletionRouter().invoke('g', request)
    expect(`${answer}`).toBe('Hello')
    expect(answer.cache).toBe('memory')
    expect(answer.raw).toEqual({ id: 'Hello' })
    expect(answer.raw).toBe(answer.raw)
    expect(JSON.parse(JSON.stringify(answer))).toMatchObject({ content: 'Hello', usage: { totalTokens: 3 } })
    expect(inspect(answer)).toMatch(/^Completion \{\s+content: 'Hello'/)
    expect(inspect(answer)).not.toContain('raw')
  })

  test('of an embedder is one vector per input, each with memory of its own', async () => {
    script.invoke = (id) => {
      const text = JSON.stringify({ deployment: 'p::m' })
      return { kind: LetterKind.Ok, id, text, vectors: new Float32Array([1, 2, 3, 4]), dimensions: 2 }
    }
    const { vectors, deployment } = await new EmbeddingRouter().invoke('g', { input: ['a', 'b'] })
    expect(vectors).toEqual([new Float32Array([1, 2]), new Float32Array([3, 4])])
    expect(vectors[0]?.buffer).not.toBe(vectors[1]?.buffer)
    expect(deployment).toBe('p::m')
  })

  test('holds the event loop only while it is awaited', async () => {
    const answers = ['a', 'b'].map((message) => new CompletionRouter().invoke('g', { message }))
    expect(seen.isHeld).toBe(true)
    const [first, second] = seen.invoked
    post(completionLetter(first?.id ?? 0, 'a'))
    await answers[0]
    expect(seen.isHeld).toBe(true)
    post(completionLetter(second?.id ?? 0, 'b'))
    await answers[1]
    expect(seen.isHeld).toBe(false)
  })
})

describe('a failure', () => {
  async function callerOfInvoke(): Promise<unknown> {
    try {
      return await new CompletionRouter().invoke('g', request)
    } catch (error) {
      return error
    }
  }

  test('that comes later has the frames of the caller', async () => {
    script.invoke = (id) => {
      post(failedLetter(id, { name: 'RateLimitError', code: 'ERR_RATE_LIMITED', message: 'full', retryAfterMs: 5 }))
      return null
    }
    const error = (await callerOfInvoke()) as RateLimitError
    expect(error).toBeInstanceOf(RateLimitError)
    expect(error).toMatchObject({ name: 'RateLimitError', code: 'ERR_RATE_LIMITED', message: 'full', retryAfterMs: 5 })
    expect(error.stack).toMatch(/^RateLimitError: full\n/)
    expect(error.stack).toContain('callerOfInvoke')
  })

  test('that comes at once has them too', async () => {
    script.invoke = (id) => failedLetter(id, { code: 'ERR_NO_GROUP', message: 'no group' })
    const error = (await callerOfInvoke()) as ThrydError
    expect(error.code).toBe('ERR_NO_GROUP')
    expect(error.stack).toContain('callerOfInvoke')
  })

  test('of a synchronous method is thrown at the line that called it', () => {
    const router = new CompletionRouter()
    script.reply = () => JSON.stringify({ err: failure({ name: 'RangeError', code: '', message: 'options.rpm: no' }) })
    function callerOfDeploy(): unknown {
      try {
        return router.deploy('g', 'p::m', { rpm: -1 })
      } catch (error) {
        return error
      }
    }
    const error = callerOfDeploy() as Error
    expect(error).toBeInstanceOf(RangeError)
    expect(error.message).toBe('options.rpm: no')
    expect(error.stack?.split('\n')[1]).toContain('callerOfDeploy')
  })
})

describe('a signal', () => {
  test('that fired before sends nothing', async () => {
    const reason = new Error('no')
    const promise = new CompletionRouter().invoke('g', request, { signal: AbortSignal.abort(reason) })
    await expect(promise).rejects.toBe(reason)
    expect(seen.invoked).toEqual([])
  })

  test('that fires during the call rejects with its reason, cancels, and the late answer is nobody’s', async () => {
    const controller = new AbortController()
    const promise = new CompletionRouter().invoke('g', request, { signal: controller.signal })
    const id = seen.invoked[0]?.id ?? 0
    controller.abort('enough')
    await expect(promise).rejects.toBe('enough')
    expect(seen.cancelled).toEqual([id])
    expect(seen.isHeld).toBe(false)
    post(completionLetter(id, 'late'))
    await new Promise((resolve) => setImmediate(resolve))
  })

  test('used for many calls has one listener for all of them, and none when they are done', async () => {
    const { signal } = new AbortController()
    const router = new CompletionRouter()
    const answers = Array.from({ length: 50 }, () => router.invoke('g', request, { signal }))
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    for (const { id } of seen.invoked) post(completionLetter(id, 'x'))
    await Promise.all(answers)
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })

  test('is not an option of the core, and the rest is', async () => {
    script.invoke = (id) => completionLetter(id, 'x')
    const { signal } = new AbortController()
    await new CompletionRouter().invoke('g', request, { signal, priority: 1, queueMs: Number.NaN })
    expect(seen.invoked[0]?.options).toEqual({ priority: 1, queueMs: 'NaN' })
  })
})

describe('bad arguments', () => {
  const circular: Record<string, unknown> = {}
  circular['self'] = circular

  test.each([
    ['no request', 'g', undefined, undefined, /^request: expected an object, got undefined/],
    ['a request that is a text', 'g', 'Hi', undefined, /^request: expected an object, got a string/],
    ['a request that is a list', 'g', [], undefined, /^request: expected an object, got an array/],
    ['a circular request', 'g', circular, undefined, /^request: cannot be written as JSON/],
    ['a group that is no name', 7, request, undefined, /^group: expected a string, got 7/],
    ['options that are none', 'g', request, 'fast', /^options: expected an object, got a string/],
    ['a signal that is none', 'g', request, { signal: {} }, /^options\.signal: expected an AbortSignal, got an object/],
  ])('%s: a TypeError, as a rejection', async (_what, group, body, options, message) => {
    const promise = new CompletionRouter().invoke(group as string, body as never, options as never)
    await expect(promise).rejects.toThrow(TypeError)
    await expect(promise).rejects.toThrow(message)
    expect(seen.invoked).toEqual([])
  })

  test('that JSON would lose and the core checks reach it by name', async () => {
    script.invoke = (id) => completionLetter(id, 'x')
    const body = { message: 'Hi', temperature: Number.POSITIVE_INFINITY, seed: 12n, n: () => '', top_p: undefined }
    await new CompletionRouter().invoke('g', body as never)
    expect(seen.invoked[0]?.request).toEqual({
      message: 'Hi',
      temperature: 'Infinity',
      seed: '12n',
      n: '[function]',
    })
  })

  const symbol = Symbol('s')
  const nothing = (): void => {}
  test.each([
    ['x_boost', { x_boost: Number.NaN }, RangeError, 'expected a finite number, got NaN'],
    ['a.b', { a: { b: Number.NEGATIVE_INFINITY } }, RangeError, 'expected a finite number, got -Infinity'],
    ['a.temperature', { a: { temperature: Number.NaN } }, RangeError, 'expected a finite number, got NaN'],
    ['stop[1]', { stop: ['null', Number.NaN] }, RangeError, 'expected a finite number, got NaN'],
    [
      'list[1].score',
      { list: [{ score: 1 }, { score: Infinity }] },
      RangeError,
      'expected a finite number, got Infinity',
    ],
    ['x_id', { x_id: 12n }, TypeError, 'expected a value that JSON has, got 12n'],
    ['messages[0].n', { messages: [{ n: 1n }] }, TypeError, 'expected a value that JSON has, got 1n'],
    ['stop', { stop: nothing }, TypeError, 'expected a value that JSON has, got a function'],
    ['list[0]', { list: [nothing] }, TypeError, 'expected a value that JSON has, got a function'],
    ['list[0]', { list: [symbol] }, TypeError, 'expected a value that JSON has, got a symbol'],
  ])('that JSON does not have are refused at %s', async (path, body, type, message) => {
    const promise = new CompletionRouter().invoke('g', body as never)
    await expect(promise).rejects.toThrow(type)
    await expect(promise).rejects.toMatchObject({ message: `request.${path}: ${message}` })
    expect(seen.invoked).toEqual([])
  })

  test('cross as JSON has them, null and shared parts included', async () => {
    script.invoke = (id) => completionLetter(id, 'x')
    const shared = { a: [null, 1], say: 'null' }
    const body = {
      messages: [{ role: 'assistant', content: null }],
      one: shared,
      two: shared,
      at: new Date(0),
      no: undefined,
    }
    await new CompletionRouter().invoke('g', body as never)
    expect(seen.invoked[0]?.request).toEqual(JSON.parse(JSON.stringify(body)))
  })

  test('that hide their content are named, not emptied', () => {
    new CompletionRouter().addProvider({ type: 'openai', headers: new Headers({ a: 'b' }) as never })
    expect(seen.configured.at(-1)).toEqual({ type: 'openai', headers: '[Headers]' })
  })

  test('include an abstract router', () => {
    const Abstract = Router as unknown as new () => unknown
    expect(() => new Abstract()).toThrow(/^Router is abstract/)
  })
})
