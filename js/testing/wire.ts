/** What goes over the wire for a plan: pure, and made before the first byte is sent. */

import * as answers from './answers'
import { OK, type Plan } from './behaviour'
import * as responses from './responses'

/** What is asked for. */
export type Endpoint = 'chat' | 'responses' | 'embeddings' | 'rerank' | 'models'

/** What goes over the wire, and what happens to the connection. */
export interface Wire {
  /** 0 if there are no headers. */
  status: number
  headers: Record<string, string | number>
  /** Sent with the headers. */
  head: string
  /** Sent one by one. */
  tokens: readonly string[]
  /** Sent after the last token. */
  tail: string
  /** What comes then. */
  ending: Ending
}

/** The body ends; or silence; or the connection is lost by FIN, or by RST. */
export type Ending = 'end' | 'silence' | 'close' | 'reset'

/** A request, as far as its answer depends on it. */
export interface Asked {
  endpoint: Endpoint
  id: string
  model: string
  stream: boolean
  body: Record<string, unknown>
  /** Those that there are. */
  models: readonly string[]
}

const JSON_TYPE = 'application/json'
const EVENTS = 'text/event-stream'
const PAGE = '<!doctype html>\n<html><head><title>Welcome</title></head><body><h1>Welcome</h1></body></html>\n'
const ERROR =
  '{"error":{"message":"a fault of the server: an error inside the answer","type":"server_error","code":null}}'
const DONE = 'data: [DONE]\n\n'
/** JSON that stops in its middle. */
const UNREADABLE = 'data: {"choices":[{"delta":{"content":\n\n'

/** What goes over the wire. */
export function wire(plan: Plan, asked: Asked): Wire {
  const isStream = asked.stream && isStreamable(asked)
  switch (plan.fault) {
    case 'reset':
    case 'close':
      return unanswered(plan.fault)
    case 'hang':
      return unanswered('silence')
    case 'html':
      return whole(plan, 'text/html; charset=utf-8', PAGE)
    case 'empty':
      return whole(plan, isStream ? EVENTS : JSON_TYPE, '')
    case 'stallError':
      return { ...whole({ ...plan, status: 503 }, JSON_TYPE, plan.body ?? ERROR), head: '', ending: 'silence' }
    default:
  }
  if (plan.body !== undefined) return whole(plan, JSON_TYPE, plan.body)
  return isStream ? broken(plan, asked, events(plan, asked)) : answered(plan, asked)
}

function isStreamable({ endpoint }: Asked): boolean {
  return endpoint === 'chat' || endpoint === 'responses'
}

/** What is wrong with a request that no plan is asked about. */
export function refusal(status: number, message: string): Wire {
  return whole({ ...OK, status }, JSON_TYPE, JSON.stringify({ error: { message, type: 'invalid_request_error' } }))
}

function unanswered(ending: Ending): Wire {
  return { status: 0, headers: {}, head: '', tokens: [], tail: '', ending }
}

function whole(plan: Plan, type: string, text: string): Wire {
  const headers = { 'content-type': type, 'content-length': Buffer.byteLength(text), ...plan.headers }
  return { status: plan.status, headers, head: text, tokens: [], tail: '', ending: 'end' }
}

/** A whole answer, and what may befall it. */
function answered(plan: Plan, asked: Asked): Wire {
  if (plan.fault === 'errorEvent') return whole(plan, JSON_TYPE, ERROR)
  if (plan.fault === 'end' && isStreamable(asked)) return whole(plan, JSON_TYPE, unfinished(plan, asked))
  const text = good(plan, asked)
  const half = text.slice(0, text.length >> 1)
  switch (plan.fault) {
    // What has no finish reason ends in the middle of its JSON.
    case 'end':
      return whole(plan, JSON_TYPE, half)
    // The brackets do not match.
    case 'malformed':
      return whole(plan, JSON_TYPE, `${text.slice(0, -1)}]`)
    case 'cut':
      return { ...whole(plan, JSON_TYPE, text), head: half, ending: 'close' }
    case 'stall':
      return { ...whole(plan, JSON_TYPE, text), head: half, ending: 'silence' }
    default:
      return whole(plan, JSON_TYPE, text)
  }
}

function good(plan: Plan, { endpoint, id, model, body, models }: Asked): string {
  if (endpoint === 'embeddings') return answers.embeddings(model, body)
  if (endpoint === 'rerank') return answers.ranking(model, body)
  if (endpoint === 'models') return answers.models(models)
  if (endpoint === 'responses') return responses.whole(id, model, responses.speech(plan, body), body)
  return answers.completion(id, model, answers.speech(plan, body), body)
}

/** An answer that stops in its middle, cleanly. */
function unfinished(plan: Plan, { endpoint, id, model, body }: Asked): string {
  const isResponse = endpoint === 'responses'
  const { content } = (isResponse ? responses : answers).speech(plan, body)
  const tokens = answers.pieces(content ?? '')
  const begun = tokens.slice(0, count(plan, tokens.length)).join('')
  const said = { content: begun, toolCalls: undefined, finishReason: null }
  return isResponse ? responses.whole(id, model, said, body) : answers.completion(id, model, said, body)
}

/** A stream in which nothing goes wrong. */
interface Events {
  head: string
  tokens: string[]
  /** What says that the answer is complete. */
  finish: string
  /** What comes after it. */
  rest: string
  done: string
}

function events(plan: Plan, asked: Asked): Events {
  const { endpoint, id, model, body } = asked
  if (endpoint === 'responses')
    return { ...responses.streamed(id, model, responses.speech(plan, body), body), rest: '', done: '' }
  const { content, toolCalls, finishReason } = answers.speech(plan, body)
  const start = `data: {"id":"${id}","object":"chat.completion.chunk","created":0,"model":${JSON.stringify(model)}`
  const delta = (text: string): string => `${start},"choices":[{"index":0,"delta":${text},"finish_reason":null}]}\n\n`
  const tokens = answers.pieces(content ?? '').map((piece) => delta(`{"content":${JSON.stringify(piece)}}`))
  for (const [index, call] of (toolCalls ?? []).entries()) {
    tokens.push(delta(`{"tool_calls":[${JSON.stringify({ index, ...call })}]}`))
  }
  const reason = JSON.stringify(finishReason)
  const finish = `${start},"choices":[{"index":0,"delta":{},"finish_reason":${reason}}]}\n\n`
  const showsUsage = (body['stream_options'] as { include_usage?: unknown } | undefined)?.include_usage === true
  const rest = showsUsage ? `${start},"choices":[],"usage":${answers.usage(body, content)}}\n\n` : ''
  return { head: delta('{"role":"assistant","content":""}'), tokens, finish, rest, done: DONE }
}

/** A stream, and what may befall it. */
function broken(plan: Plan, { endpoint }: Asked, { head, tokens, finish, rest, done }: Events): Wire {
  const answer: Wire = {
    status: plan.status,
    headers: { 'content-type': EVENTS, 'cache-control': 'no-cache', ...plan.headers },
    head,
    tokens,
    tail: finish + rest + done,
    ending: 'end',
  }
  const most = count(plan, tokens.length)
  const begun = { ...answer, tokens: tokens.slice(0, most), tail: '' }
  switch (plan.fault) {
    case 'stall':
      return { ...begun, ending: 'silence' }
    case 'cut':
      return { ...begun, ending: 'close' }
    case 'end':
      return begun
    case 'errorEvent':
      return { ...begun, tail: endpoint === 'responses' ? responses.ERROR_EVENT : `data: ${ERROR}\n\n` }
    case 'malformed':
      // In the place of a token, so that a reader who passes over it loses some of the answer.
      return { ...answer, tokens: tokens.toSpliced(most, 1, UNREADABLE) }
    case 'noDone':
      return { ...answer, tail: finish + rest }
    case 'cutAfterFinish':
      return { ...answer, tail: finish, ending: 'close' }
    case 'stallAfterFinish':
      return { ...answer, tail: finish, ending: 'silence' }
    default:
      return answer
  }
}

/** How many of these tokens come before the fault. */
function count(plan: Plan, tokens: number): number {
  return Math.min(plan.afterTokens ?? Math.ceil(tokens / 2), tokens)
}
