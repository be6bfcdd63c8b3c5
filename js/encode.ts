/**
 * Turns what callers give into the JSON that crosses to the core, losing nothing that the core would want to complain
 * about: values that JSON drops or changes arrive there as their own text (`NaN`, `12n`, `[function]`). In a body, where
 * the core knows few fields, they are refused.
 */

import { type Spoken, spelled } from './spelling'

/** JSON of one of thryd's own options objects. @throws TypeError if it is circular */
export function encodeOptions(field: string, value: unknown): string {
  return stringify(field, value, nameable) ?? 'null'
}

/** Numbers of a body that the core checks: it should name the range as well as the value. */
const CHECKED_BY_CORE: ReadonlySet<string> = new Set([
  'temperature',
  'top_p',
  'max_completion_tokens',
  'max_tokens',
  'max_output_tokens',
  'max_tool_calls',
  'top_logprobs',
  'presence_penalty',
  'frequency_penalty',
  'seed',
  'n',
  'dimensions',
  'top_n',
])

/**
 * A wire body as it crosses: spelled if it is plain data, else JSON.
 * @throws TypeError if it is not an object, circular, or has a function, a symbol or a big integer in it; RangeError if a
 * number in it is not finite
 */
export function encodeRequest(request: unknown): Spoken {
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    throw new TypeError(`request: expected an object, got ${describe(request)}`)
  }
  const plain = attempted(() => spelled(request))
  if (plain !== undefined) return plain
  const fast = attempted(() => (isPlainJson(request) ? JSON.stringify(request) : undefined))
  // Numbers that JSON does not have become null in the depth; a look at each value is only worth its time if there is one.
  if (fast !== undefined && !/[:,[]null/.test(fast)) return fast
  const json = stringify('request', request, checked())
  if (json === undefined) throw new TypeError('request: expected an object, got one whose toJSON() gives nothing')
  return json
}

/** JSON of any value that a custom provider gave. @throws TypeError if there is none */
export function encodeAnswer(field: string, value: unknown): string {
  const json = typeof value === 'function' ? undefined : stringify(field, value)
  if (json === undefined) throw new TypeError(`${field}: expected an answer, got ${describe(value)}`)
  return json
}

/** What a value is, for a message: never its content, which may be secret or long. */
export function describe(value: unknown): string {
  if (value === null || value === undefined || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') return String(value)
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** Checks a string argument. */
export function text(field: string, value: unknown): string {
  if (typeof value !== 'string') throw new TypeError(`${field}: expected a string, got ${describe(value)}`)
  return value
}

/** Checks a function among the options, or nothing. */
export function callback<Callback extends Function>(field: string, value: Callback | undefined): Callback | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'function') return value
  throw new TypeError(`${field}: expected a function, got ${describe(value)}`)
}

/** Checks an options argument: an object, or absent. */
export function optional<Options extends object>(
  field: string,
  value: Options | null | undefined,
): Options | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new TypeError(`${field}: expected an object, got ${describe(value)}`)
  }
  return value
}

/** Checks a signal: an AbortSignal, or absent. */
export function signalOf(value: unknown): AbortSignal | undefined {
  if (value === undefined || value === null) return undefined
  const signal = value as AbortSignal
  if (
    typeof signal !== 'object' ||
    typeof signal.aborted !== 'boolean' ||
    typeof signal.addEventListener !== 'function'
  ) {
    throw new TypeError(`options.signal: expected an AbortSignal, got ${describe(value)}`)
  }
  return signal
}

type Replacer = (this: object, key: string, value: unknown) => unknown

function stringify(field: string, value: unknown, replacer?: Replacer): string | undefined {
  try {
    return JSON.stringify(value, replacer)
  } catch (cause) {
    if (cause instanceof Refused) throw cause.error
    // A cycle, a big integer in the depth of a body, or a getter of the caller's that threw.
    const [why] = (cause instanceof Error ? cause.message : String(cause)).split('\n', 1)
    throw new TypeError(`${field}: cannot be written as JSON: ${why}`, { cause })
  }
}

/** `undefined` if it throws, as a getter of the caller's may: why, is found by writing the request with `checked`. */
function attempted<Written>(write: () => Written | undefined): Written | undefined {
  try {
    return write()
  } catch {
    return undefined
  }
}

/** What `checked` found, to be told from what a getter of the caller's throws. */
class Refused {
  readonly error: Error

  constructor(error: Error) {
    this.error = error
  }
}

/** Refuses what JSON does not have, naming where it is; what the core checks goes there by name. */
function checked(): Replacer {
  const paths = new Map<unknown, string>()
  let body: unknown
  return function (key, value) {
    if (paths.size === 0) {
      body = value
      paths.set(value, 'request')
      return value
    }
    if (this === body && CHECKED_BY_CORE.has(key)) return nameable(key, value)
    const path = (): string => `${paths.get(this)}${Array.isArray(this) ? `[${key}]` : `.${key}`}`
    switch (typeof value) {
      case 'number':
        if (Number.isFinite(value)) return value
        throw new Refused(new RangeError(`${path()}: expected a finite number, got ${value}`))
      case 'bigint':
        throw new Refused(new TypeError(`${path()}: expected a value that JSON has, got ${value}n`))
      case 'function':
      case 'symbol':
        throw new Refused(new TypeError(`${path()}: expected a value that JSON has, got a ${typeof value}`))
      case 'object':
        if (value !== null) paths.set(value, path())
    }
    return value
  }
}

/** Whether the body's own fields are all values that JSON keeps; the depth is not looked at. */
function isPlainJson(request: object): boolean {
  for (const value of Object.values(request)) {
    switch (typeof value) {
      case 'number':
        if (!Number.isFinite(value)) return false
        break
      case 'bigint':
      case 'function':
      case 'symbol':
        return false
    }
  }
  return true
}

function nameable(_key: string, value: unknown): unknown {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'bigint':
      return `${value}n`
    case 'function':
    case 'symbol':
      return `[${typeof value}]`
    case 'object':
      return value === null ? value : opened(value)
    default:
      return value
  }
}

/** Objects whose content JSON does not see (a Map, Headers, a class with private fields) by name. */
function opened(value: object): unknown {
  const prototype: object | null = Object.getPrototypeOf(value)
  // Of whichever realm: what inherits from nothing is an `Object.prototype`.
  if (prototype === null || Object.getPrototypeOf(prototype) === null || Array.isArray(value)) return value
  return Object.keys(value).length === 0 ? `[${value.constructor?.name ?? 'object'}]` : value
}
