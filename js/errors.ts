/**
 * The errors that users meet. Failures cross the boundary as data (`Failure`); `fail` makes the error of one, with the
 * caller's own frames, because one made in Rust or in a callback of the event loop would have none.
 */

import type { Failure } from './letter'
import type { Attempt } from './served'

/** Stable names of what can go wrong; the messages are for people and may change. */
export type ErrorCode =
  | 'ERR_NO_GROUP'
  | 'ERR_NO_PROVIDER'
  | 'ERR_UNSUPPORTED'
  | 'ERR_RATE_LIMITED'
  | 'ERR_TOO_LARGE'
  | 'ERR_TIMEOUT'
  | 'ERR_PROVIDER'
  | 'ERR_INTERRUPTED'
  | 'ERR_EXHAUSTED'
  | 'ERR_NOT_CACHED'
  | 'ERR_CACHE'
  | 'ERR_CLOSED'
  | 'ERR_NATIVE'
  | 'ERR_BUG'

/** What every error of thryd carries. */
export interface ErrorDetails {
  code: ErrorCode
  retryable: boolean
  attempts: Attempt[]
}

const BRAND = Symbol.for('thryd.error')

/**
 * A failed call. Programming errors are TypeError and RangeError; a cancelled call rejects with `signal.reason`; all else is
 * one of these or of its subclasses.
 */
export class ThrydError extends Error {
  /** What went wrong. */
  readonly code: ErrorCode
  /** Whether the same call may succeed later, with nothing changed. */
  readonly retryable: boolean
  /** Every try on a deployment, in order. */
  readonly attempts: Attempt[]

  constructor(message: string, details: ErrorDetails) {
    super(message)
    this.code = details.code
    this.retryable = details.retryable
    this.attempts = details.attempts
  }

  /** Like instanceof, across realms and copies of the package. On a subclass: whether it is one of that subclass. */
  static is<Class extends abstract new (...values: never) => ThrydError>(
    this: Class,
    error: unknown,
  ): error is InstanceType<Class>
  static is(this: void, error: unknown): error is ThrydError
  static is(this: unknown, error: unknown): boolean {
    // Handed on as a function (`items.filter(ThrydError.is)`) it has no class.
    const wanted = typeof this === 'function' ? this.prototype.name : 'ThrydError'
    if (typeof error !== 'object' || error === null) return false
    const names = (error as { [BRAND]?: unknown })[BRAND]
    return Array.isArray(names) && names.includes(wanted)
  }
}

/** No deployment has room before the deadline. */
export class RateLimitError extends ThrydError {
  /** Milliseconds until it is worth trying again. */
  readonly retryAfterMs: number

  constructor(message: string, details: ErrorDetails & { retryAfterMs: number }) {
    super(message, details)
    this.retryAfterMs = details.retryAfterMs
  }
}

/** A clock ran out. */
export class TimeoutError extends ThrydError {
  /** Which one: see `Timeouts`. */
  readonly phase: 'queue' | 'connect' | 'firstToken' | 'idle' | 'attempt' | 'total'
  /** The deployment that was silent, if it was one's: `provider::model`. */
  declare readonly deployment?: string

  constructor(message: string, details: ErrorDetails & { phase: TimeoutError['phase']; deployment?: string }) {
    super(message, details)
    this.phase = details.phase
    if (details.deployment !== undefined) this.deployment = details.deployment
  }
}

/** A deployment failed or refused. Keys and request headers are never kept. */
export class ProviderError extends ThrydError {
  /** HTTP status, if there was an answer. */
  declare readonly status?: number
  /** `provider::model`. */
  readonly deployment: string
  /** At most 64 KiB of what the provider said. */
  declare readonly body?: string
  /** The provider's own id of the request, for its support. */
  declare readonly requestId?: string
  /** Milliseconds until the provider wants to be asked again, if it said so. */
  declare readonly retryAfterMs?: number

  constructor(
    message: string,
    details: ErrorDetails & {
      deployment: string
      status?: number
      body?: string
      requestId?: string
      retryAfterMs?: number
    },
  ) {
    super(message, details)
    this.deployment = details.deployment
    if (details.status !== undefined) this.status = details.status
    if (details.body !== undefined) this.body = details.body
    if (details.requestId !== undefined) this.requestId = details.requestId
    if (details.retryAfterMs !== undefined) this.retryAfterMs = details.retryAfterMs
  }
}

/** A stream ended early. */
export class InterruptedError extends ThrydError {
  /** The content that the reader already has. */
  readonly delivered: string
  /** The clock that ended it, if one did: see `Timeouts`. */
  declare readonly phase?: TimeoutError['phase']
  /** Milliseconds until the provider wants to be asked again, if it said so. */
  declare readonly retryAfterMs?: number

  constructor(
    message: string,
    details: ErrorDetails & { delivered: string; phase?: TimeoutError['phase']; retryAfterMs?: number },
  ) {
    super(message, details)
    this.delivered = details.delivered
    if (details.phase !== undefined) this.phase = details.phase
    if (details.retryAfterMs !== undefined) this.retryAfterMs = details.retryAfterMs
  }
}

/** Every attempt failed, or a dummy ran out of responses. */
export class ExhaustedError extends ThrydError {
  /** The failures, in order, each with the attempt that it was. */
  readonly errors: ThrydError[]
  /** Milliseconds until the first of the providers wants to be asked again, if one said so. */
  declare readonly retryAfterMs?: number

  constructor(message: string, details: ErrorDetails & { errors: ThrydError[]; retryAfterMs?: number }) {
    super(message, details)
    this.errors = details.errors
    if (details.retryAfterMs !== undefined) this.retryAfterMs = details.retryAfterMs
  }
}

/** A cache cannot be opened or used. */
export class CacheError extends ThrydError {}

const classes = {
  ThrydError,
  RateLimitError,
  TimeoutError,
  ProviderError,
  InterruptedError,
  ExhaustedError,
  CacheError,
}

for (const [name, { prototype }] of Object.entries(classes)) {
  const brand = prototype === ThrydError.prototype ? [name] : ['ThrydError', name]
  Object.defineProperty(prototype, 'name', { value: name, writable: true, configurable: true })
  Object.defineProperty(prototype, BRAND, { value: brand })
}

/** The frames of a place in the caller's code. */
export interface CallSite {
  stack?: string
}

/** Remembers where `method` was called from: some microseconds, so not for every call. */
export function callSite(method: Function): CallSite {
  const site: CallSite = {}
  Error.captureStackTrace(site, method)
  return site
}

/**
 * The error of a failure. Without `site` its frames are those of the current call. Taken after an `await`, a site has the
 * functions that await it, because V8 follows promises: it costs nothing while calls go well.
 */
export function fail(failure: Failure, site?: CallSite): Error {
  const error = make(failure, site)
  const frames = site?.stack?.replace(/^.*?(?=\n {4}at |$)/s, '')
  if (frames !== undefined) error.stack = `${error.name}: ${error.message}${frames}`
  return error
}

function make(failure: Failure, site: CallSite | undefined): Error {
  const { name, message } = failure
  const details: ErrorDetails = {
    code: (failure.code || 'ERR_BUG') as ErrorCode,
    retryable: failure.retryable ?? false,
    attempts: failure.attempts ?? [],
  }
  switch (name) {
    case 'TypeError':
      return new TypeError(message)
    case 'RangeError':
      return new RangeError(message)
    case 'Cancelled':
      return new DOMException(message, 'AbortError')
    case 'RateLimitError':
      return new RateLimitError(message, { ...details, retryAfterMs: failure.retryAfterMs ?? 0 })
    case 'TimeoutError':
      return new TimeoutError(message, { ...failure, ...details, phase: failure.phase ?? 'total' })
    case 'ProviderError':
      return new ProviderError(message, { ...failure, ...details, deployment: failure.deployment ?? '' })
    case 'InterruptedError':
      return new InterruptedError(message, {
        ...failure,
        ...details,
        delivered: failure.delivered ?? '',
      })
    case 'ExhaustedError': {
      const errors = (failure.errors ?? []).map((each) => fail(each, site) as ThrydError)
      return new ExhaustedError(message, { ...failure, ...details, errors })
    }
    case 'CacheError':
      return new CacheError(message, details)
    default:
      return new ThrydError(message, details)
  }
}
