/** What a server may be told to do with a request, and the plan that it makes of that. */

import { validateHeaderName, validateHeaderValue } from 'node:http'

import type { Fault, FaultShares } from '../faults'
import type { LoggedRequest, Served } from './log'
import type { Random } from './random'
import * as read from './read'

/** Milliseconds, or the bounds between which they are drawn. */
export type Bounds = number | [min: number, max: number]

/**
 * A behaviour in a word, which is also the name of a model that behaves so: `'ok'`, a fault, `'status-503'`, or a fault with
 * the number of tokens before it: `'cut-3'`.
 */
export type BehaviourName = 'ok' | Fault | `status-${number}` | `${TokenFault}-${number}`

/** What one request is answered with. */
export interface BehaviourOptions {
  /** What goes wrong. Not together with `status` or `faults`. @default nothing */
  fault?: Fault
  /** Shares of requests that go wrong, drawn from the server's seed. @default none */
  faults?: FaultShares
  /** HTTP status from 200 to 599. @default 200 */
  status?: number
  /** The whole body instead of an answer: a text, or what JSON says. @default an error's, from status 300 on */
  body?: unknown
  /** Further headers; a `content-type` here wins. @default none */
  headers?: Record<string, string>
  /** Milliseconds, sent as `retry-after-ms` and, rounded up to seconds, as `retry-after`. @default not sent */
  retryAfterMs?: number
  /** Milliseconds before the headers, or before the fault that comes instead of them. @default the server's */
  latencyMs?: Bounds
  /** Milliseconds between two tokens of a stream. @default the server's */
  tokenIntervalMs?: Bounds
  /**
   * Tokens of a stream before it stalls, is cut, ends, cannot be read or says an error; all of them, if it has fewer. A whole
   * answer is hit in its middle. @default half of them
   */
  afterTokens?: number
  /** Text of a completion. @default the last message of the user */
  content?: string
  /** Calls of a completion, in place of a text. Arguments may be an object. @default none */
  toolCalls?: { id?: string; name: string; arguments?: unknown }[]
  /** @default `'stop'`, or `'tool_calls'` with calls */
  finishReason?: string
}

/** What one request is answered with, in a word or in detail. */
export type Behaviour = BehaviourName | BehaviourOptions

/**
 * What the requests to a model are answered with: always the same; a list, in order, one each, after which the model behaves
 * as if it had no script; or what a function says of a request, where `undefined` is the same as no script. A promise holds
 * the request until it settles.
 */
export type Script =
  Behaviour | Behaviour[] | ((request: LoggedRequest) => Behaviour | undefined | Promise<Behaviour | undefined>)

/** Faults that may come after some tokens. */
type TokenFault = 'stall' | 'cut' | 'end' | 'malformed' | 'errorEvent'

/** A behaviour that was read and checked. */
export interface Plan {
  readonly served: Served
  readonly fault?: Fault
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly latency?: readonly [number, number]
  readonly tokenInterval?: readonly [number, number]
  readonly afterTokens?: number
  readonly content?: string
  readonly toolCalls?: readonly ToolCall[]
  readonly finishReason?: string
  /** One of these instead, or none. */
  readonly shares?: readonly (readonly [share: number, plan: Plan])[]
}

/** A tool call in OpenAI's shape. */
export interface ToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
}

const FAULTS: readonly Fault[] = [
  'reset',
  'close',
  'hang',
  'stall',
  'cut',
  'end',
  'malformed',
  'errorEvent',
  'noDone',
  'html',
  'empty',
  'stallError',
  'cutAfterFinish',
  'stallAfterFinish',
]
const TOKEN_FAULTS: readonly string[] = ['stall', 'cut', 'end', 'malformed', 'errorEvent'] satisfies TokenFault[]

const OPTIONS = [
  'fault',
  'faults',
  'status',
  'body',
  'headers',
  'retryAfterMs',
  'latencyMs',
  'tokenIntervalMs',
  'afterTokens',
  'content',
  'toolCalls',
  'finishReason',
] as const

/** Nothing goes wrong. */
export const OK: Plan = { served: 'ok', status: 200, headers: {} }

/** Names that were read, and that are models' names: bounded, because clients choose those. */
const named = new Map<string, Plan | undefined>()

/** The plan of a behaviour's name; `undefined` for any other word. */
export function planNamed(name: string): Plan | undefined {
  if (named.has(name)) return named.get(name)
  if (named.size >= 1024) named.clear()
  const plan = readName(name)
  named.set(name, plan)
  return plan
}

/** Reads a behaviour, which messages call `path`. @throws TypeError, RangeError if it is none */
export function readBehaviour(path: string, value: unknown): Plan {
  if (typeof value !== 'string') return readOptions(path, value)
  const plan = planNamed(value)
  if (plan !== undefined) return plan
  throw read.wrong(path, `'ok', one of the faults ${FAULTS.join(', ')}, or 'status-503' and the like`, value)
}

/** Settles what the plan leaves to chance. */
export function drawn(plan: Plan, random: Random): Plan {
  if (plan.shares === undefined) return plan
  let place = random.next()
  for (const [share, other] of plan.shares) {
    if (place < share) return other
    place -= share
  }
  return plan
}

/** Whether a script wants the request to be held. */
export function isPromise<Value>(value: Value | Promise<Value>): value is Promise<Value> {
  return typeof (value as { then?: unknown } | undefined)?.then === 'function'
}

function readName(name: string): Plan | undefined {
  if (name === 'ok') return OK
  if (isFault(name)) return withFault(OK, name)
  const [, word = '', digits = ''] = /^([a-zA-Z]+)-(\d{1,9})$/.exec(name) ?? []
  if (TOKEN_FAULTS.includes(word)) return { ...withFault(OK, word as Fault), afterTokens: Number(digits) }
  if (word !== 'status' || !/^[2-5]\d\d$/.test(digits)) return undefined
  return withStatus(OK, Number(digits))
}

function readOptions(path: string, value: unknown): Plan {
  if (typeof value !== 'object' || value === null) throw read.wrong(path, 'a name or an object', value)
  const options = read.fields(path, value, OPTIONS)
  const { fault, faults, status } = options
  if ([fault, faults, status].filter((each) => each !== undefined).length > 1) {
    throw read.wrong(path, 'only one of `fault`, `faults` and `status`', value)
  }
  if (fault !== undefined && !isFault(fault)) {
    throw read.wrong(`${path}.fault`, `one of the faults ${FAULTS.join(', ')}`, fault)
  }
  const retryAfter = read.number(`${path}.retryAfterMs`, options.retryAfterMs, 0)
  const retryHeaders = retryAfter !== undefined && {
    'retry-after-ms': String(Math.ceil(retryAfter)),
    'retry-after': String(Math.ceil(retryAfter / 1000)),
  }
  const body = options.body !== undefined && {
    body: typeof options.body === 'string' ? options.body : read.json(`${path}.body`, options.body),
  }
  const plan: Plan = {
    ...OK,
    headers: { ...retryHeaders, ...readHeaders(`${path}.headers`, options.headers) },
    ...body,
    ...present('latency', read.bounds(`${path}.latencyMs`, options.latencyMs)),
    ...present('tokenInterval', read.bounds(`${path}.tokenIntervalMs`, options.tokenIntervalMs)),
    ...present('afterTokens', read.integer(`${path}.afterTokens`, options.afterTokens, 0)),
    ...present('content', read.string(`${path}.content`, options.content)),
    ...present('toolCalls', readToolCalls(`${path}.toolCalls`, options.toolCalls)),
    ...present('finishReason', read.string(`${path}.finishReason`, options.finishReason)),
  }
  if (fault !== undefined) return withFault(plan, fault)
  if (status !== undefined) return withStatus(plan, read.integer(`${path}.status`, status, 200, 599) ?? 200)
  return faults === undefined ? plan : { ...plan, shares: readShares(`${path}.faults`, faults, plan) }
}

/** Reads shares: plans that are as `plan`, but go wrong. */
function readShares(path: string, value: unknown, plan: Plan): readonly (readonly [number, Plan])[] {
  const shares = read.fields(path, value, ['status', ...FAULTS])
  const statuses = shares.status ?? {}
  const names = Object.keys(statuses)
  for (const name of names) {
    const isStatus = /^[45]\d\d$/.test(name)
    if (!isStatus) throw read.outside(`${path}.status`, 'HTTP statuses from 400 to 599', name)
  }
  const byStatus = read.fields(`${path}.status`, statuses, names)
  const all = [
    ...names.map(
      (name) => [shareOf(`${path}.status.${name}`, byStatus[name]), withStatus(plan, Number(name))] as const,
    ),
    ...FAULTS.map((name) => [shareOf(`${path}.${name}`, shares[name]), withFault(plan, name)] as const),
  ]
  const sum = all.reduce((total, [share]) => total + share, 0)
  // Shares such as 0.7 + 0.2 + 0.1 may add up to a little more than 1.
  if (sum > 1 + 1e-9) throw read.outside(path, 'shares that add up to at most 1', sum)
  return all.filter(([share]) => share > 0)
}

function shareOf(path: string, value: unknown): number {
  return read.number(path, value, 0, 1) ?? 0
}

function readToolCalls(path: string, value: unknown): ToolCall[] | undefined {
  if (value === undefined) return undefined
  if (!Array.isArray(value)) throw read.wrong(path, 'an array', value)
  return value.map((call: unknown, place) => {
    const at = `${path}[${place}]`
    const { id, name, arguments: given = {} } = read.fields(at, call, ['id', 'name', 'arguments'])
    const known = read.string(`${at}.name`, name)
    if (known === undefined) throw read.wrong(`${at}.name`, 'a string', name)
    const text = typeof given === 'string' ? given : read.json(`${at}.arguments`, given)
    return {
      id: read.string(`${at}.id`, id) ?? `call_${place}`,
      type: 'function',
      function: { name: known, arguments: text },
    }
  })
}

function readHeaders(path: string, value: unknown): Record<string, string> {
  if (value === undefined) return {}
  const headers = read.fields(path, value, Object.keys(value ?? {}))
  return Object.fromEntries(
    Object.entries(headers).map(([name, text]) => {
      const known = read.string(`${path}.${name}`, text) ?? ''
      checkHeader(path, name, known)
      return [name.toLowerCase(), known]
    }),
  )
}

/** Here and not when it is sent, where nobody could tell whose it is. */
function checkHeader(path: string, name: string, text: string): void {
  try {
    validateHeaderName(name)
  } catch {
    throw read.wrong(path, 'names of HTTP headers', name)
  }
  try {
    validateHeaderValue(name, text)
  } catch {
    throw read.wrong(`${path}.${name}`, 'text without control characters', text)
  }
}

function withFault(plan: Plan, fault: Fault): Plan {
  return { ...plan, served: fault, fault }
}

function withStatus(plan: Plan, status: number): Plan {
  const error = { error: { message: `a fault of the server: status ${status}` } }
  const body = plan.body ?? (status < 300 ? undefined : JSON.stringify(error))
  return { ...plan, served: status < 300 ? 'ok' : `status-${status}`, status, ...present('body', body) }
}

function isFault(value: unknown): value is Fault {
  return FAULTS.includes(value as Fault)
}

/** A field that is only there if it has a value. */
function present<Name extends string, Value>(name: Name, value: Value | undefined): { [Key in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { [Key in Name]?: Value }
}
