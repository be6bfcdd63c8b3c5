import { describe, expect, test, vi } from 'vitest'

import * as thryd from '../../js'
import { fail } from '../../js/errors'
import { failure } from '../support/native'

vi.mock('../../js/native', async () => await import('../support/native'))

const { CacheError, ExhaustedError, InterruptedError, ProviderError, RateLimitError, ThrydError, TimeoutError } = thryd

describe('a failure becomes the error that its name says', () => {
  const attempts = [{ deployment: 'p::m', startedMs: 0, durationMs: 1, outcome: 'transient' as const }]

  test.each([
    [ThrydError, { code: 'ERR_CLOSED' }, {}],
    [RateLimitError, { code: 'ERR_RATE_LIMITED', retryAfterMs: 9 }, { retryAfterMs: 9 }],
    [TimeoutError, { code: 'ERR_TIMEOUT', phase: 'firstToken' as const }, { phase: 'firstToken' }],
    [
      ProviderError,
      { code: 'ERR_PROVIDER', status: 500, deployment: 'p::m', body: '{}', requestId: 'r' },
      { status: 500, deployment: 'p::m', body: '{}', requestId: 'r' },
    ],
    [InterruptedError, { code: 'ERR_INTERRUPTED', delivered: 'Hel' }, { delivered: 'Hel' }],
    [CacheError, { code: 'ERR_CACHE' }, {}],
  ])('%o', (type, parts, fields) => {
    const error = fail(failure({ name: type.name, message: 'why', retryable: true, attempts, ...parts }))
    expect(error).toBeInstanceOf(type)
    expect(error).toBeInstanceOf(ThrydError)
    expect(error).toMatchObject({
      name: type.name,
      code: parts.code,
      message: 'why',
      retryable: true,
      attempts,
      ...fields,
    })
    expect(Object.keys(error).toSorted()).toEqual(['code', 'retryable', 'attempts', ...Object.keys(fields)].toSorted())
  })

  test('an exhausted call has the errors of its attempts', () => {
    const inner = failure({ name: 'ProviderError', code: 'ERR_PROVIDER', deployment: 'p::m', status: 503 })
    const error = fail(
      failure({ name: 'ExhaustedError', code: 'ERR_EXHAUSTED', errors: [inner] }),
    ) as thryd.ExhaustedError
    expect(error).toBeInstanceOf(ExhaustedError)
    expect(error.errors[0]).toBeInstanceOf(ProviderError)
    expect(error.errors[0]).toMatchObject({ status: 503 })
  })

  test('bad arguments are the language’s own errors', () => {
    expect(fail(failure({ name: 'TypeError', code: '' }))).toBeInstanceOf(TypeError)
    expect(fail(failure({ name: 'RangeError', code: '' }))).toBeInstanceOf(RangeError)
    expect(ThrydError.is(fail(failure({ name: 'TypeError' })))).toBe(false)
  })

  test('a name that this face does not know is still a ThrydError', () => {
    expect(fail(failure({ name: 'NewError', code: 'ERR_NEW' }))).toMatchObject({ name: 'ThrydError', code: 'ERR_NEW' })
  })
})

describe('ThrydError.is', () => {
  const error = fail(failure({ name: 'RateLimitError', code: 'ERR_RATE_LIMITED' }))

  test('knows errors of another copy of the package', async () => {
    vi.resetModules()
    const copy = await import('../../js')
    expect(error).not.toBeInstanceOf(copy.ThrydError)
    expect(copy.ThrydError.is(error)).toBe(true)
    expect(copy.RateLimitError.is(error)).toBe(true)
  })

  test('on a subclass means that subclass', () => {
    expect(RateLimitError.is(error)).toBe(true)
    expect(TimeoutError.is(error)).toBe(false)
  })

  test('works when it is handed on as a function', () => {
    expect([error, new Error('other'), null, 'text', undefined].filter(ThrydError.is)).toEqual([error])
  })
})
