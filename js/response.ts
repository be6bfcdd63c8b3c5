/** Model responses: OpenAI's Responses API, what is asked and what comes back. */

import { Answer } from './answer'
import { type Letter, contentOf } from './letter'
import type { Attempt, Served, Usage } from './served'

/**
 * OpenAI's body of `POST /v1/responses` without `model`. What thryd does not know travels to the provider. `input` may only be
 * absent beside a `prompt`, a `previous_response_id` or a `conversation`.
 */
export interface ResponsesRequest {
  /** A text of the user's, or a list of items: messages, calls, results of calls, reasoning, in OpenAI's shape. */
  input?: string | object[]
  /** What the model is told before the input. */
  instructions?: string | null
  /** Longest answer in tokens, reasoning included: at least 1. Also what is reserved under `tpm`. */
  max_output_tokens?: number
  /** Most calls of the provider's own tools: at least 1. */
  max_tool_calls?: number
  /** From 0, always the likeliest word, to 2. */
  temperature?: number
  /** Share of the likeliest words to choose from, from 0 to 1. */
  top_p?: number
  /** Functions and tools of the provider's, in OpenAI's flat shape. */
  tools?: object[]
  /** Which of them it must call, in OpenAI's shape. */
  tool_choice?: unknown
  /** The form of the answer, e.g. `{ format: { type: 'json_schema', ... } }`, in OpenAI's shape. */
  text?: object
  /** How long to think, in OpenAI's shape. */
  reasoning?: object
  /** The `id` of an earlier answer to go on from. It is asked of the provider that gave that, if the router has seen it. */
  previous_response_id?: string | null
  /** A conversation of the provider's, which the answer is added to: such a request is neither cached nor shared. */
  conversation?: string | { id: string } | null
  /** Whether the provider keeps the answer. @default the provider's: with OpenAI, it does */
  store?: boolean | null
  [field: string]: unknown
}

/**
 * A whole answer of the Responses API. `JSON.stringify` and `console.log` show everything but `raw`. Not called `Response`, which
 * is what `fetch` gives.
 */
export interface ModelResponse extends Served {
  /** The provider's id of it, for a later `previous_response_id`; empty if it gave none. */
  id: string
  /** The texts of all its messages, end to end; empty if the model only called tools. */
  outputText: string
  /** What the model wants called: functions, `arguments` being JSON text as it wrote it, and custom tools with their input. */
  toolCalls: { id: string; name: string; arguments: string }[]
  /** What fails is an error, and no answer. */
  status: 'completed' | 'incomplete'
  /** Why it is incomplete, in OpenAI's words: `max_output_tokens`, `content_filter`. */
  incompleteReason?: string
  /** The provider's own answer, parsed when first read: `output` and all the rest. */
  readonly raw: unknown
  /** The text, so that `${answer}` is it. */
  toString(): string
}

type Fields = Omit<ModelResponse, 'raw' | 'toString'>

/** Reads a model response out of a letter. */
export function modelResponse(letter: Letter): ModelResponse {
  return new Whole(contentOf(letter) as Fields, letter.raw)
}

class Whole extends Answer implements ModelResponse {
  declare id: string
  declare outputText: string
  declare toolCalls: ModelResponse['toolCalls']
  declare status: ModelResponse['status']
  declare incompleteReason?: string
  declare deployment: string
  declare model: string
  declare usage: Usage
  declare cache: Served['cache']
  declare attempts: Attempt[]
  declare latencyMs: number
  declare queuedMs: number
  declare queuePosition: number

  constructor(fields: Fields, raw: string | undefined) {
    super(raw)
    this.id = fields.id
    this.outputText = fields.outputText
    this.toolCalls = fields.toolCalls
    this.status = fields.status
    if (fields.incompleteReason !== undefined) this.incompleteReason = fields.incompleteReason
    this.deployment = fields.deployment
    this.model = fields.model
    this.usage = fields.usage
    this.cache = fields.cache
    this.attempts = fields.attempts
    this.latencyMs = fields.latencyMs
    this.queuedMs = fields.queuedMs
    this.queuePosition = fields.queuePosition
  }

  override toString(): string {
    return this.outputText
  }
}

// What inspection shows.
Object.defineProperty(Whole, 'name', { value: 'ModelResponse' })
