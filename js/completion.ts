/** Chat completions: what is asked, what comes back whole, and what comes back in pieces. */

import { Answer } from './answer'
import { Place, at, usageOnDesk } from './desk'
import { type Letter, contentOf } from './letter'
import type { Attempt, Served, Usage } from './served'

/**
 * OpenAI's chat-completions body without `model`. What thryd does not know travels to the provider.
 * Give `message` or `messages`; neither is a TypeError.
 */
export interface CompletionRequest {
  /** Short for one user message. */
  message?: string
  /** The conversation, in OpenAI's shape. */
  messages?: { role: string; content?: string | object[] | null; [field: string]: unknown }[]
  /** From 0, always the likeliest word, to 2. */
  temperature?: number
  /** Share of the likeliest words to choose from, from 0 to 1. */
  top_p?: number
  /** Longest answer in tokens, reasoning included. Also what is reserved under `tpm`. */
  max_completion_tokens?: number
  /** From -2 to 2. */
  presence_penalty?: number
  /** From -2 to 2. */
  frequency_penalty?: number
  /** Texts at which the answer ends. */
  stop?: string | string[]
  /** Makes answers repeatable, as far as the provider can. */
  seed?: number
  /** Functions that the model may call, in OpenAI's shape. */
  tools?: object[]
  /** Which of them it must call, in OpenAI's shape. */
  tool_choice?: unknown
  /** The form of the answer, e.g. a JSON schema, in OpenAI's shape. */
  response_format?: object
  /** How long to think, in OpenAI's words. */
  reasoning_effort?: string
  [field: string]: unknown
}

/** A whole answer. `JSON.stringify` and `console.log` show everything but `raw`. */
export interface Completion extends Served {
  /** The text; empty if the model only called tools. */
  content: string
  /** What the model wants called: functions, `arguments` being JSON text as it wrote it, and custom tools with their input. */
  toolCalls: { id: string; name: string; arguments: string }[]
  /** Why it ended, in OpenAI's words: `stop`, `length`, `tool_calls`, `content_filter`. */
  finishReason: string
  /** The provider's own answer in OpenAI's shape, parsed when first read. */
  readonly raw: unknown
  /** The content, so that `${answer}` is the text. */
  toString(): string
}

/**
 * A piece of a streamed answer: some text, some reasoning, a part of a tool call (`arguments` of equal `index` belong
 * together), or, under `onInterrupt: 'restart'`, word that the answer begins again on `deployment` and that the reader should
 * forget what it has, `discarded`.
 */
export type CompletionChunk =
  | { type: 'content'; delta: string }
  | { type: 'reasoning'; delta: string }
  | { type: 'tool-call'; index: number; id?: string; name?: string; arguments: string }
  | { type: 'restart'; discarded: string; deployment: string }

type Fields = Omit<Completion, 'raw' | 'toString'>

/** Reads a completion out of a letter. */
export function completion(letter: Letter): Completion {
  const fields = contentOf(letter) as Fields & { contentAt?: [number, number] }
  if (fields.contentAt === undefined) return new Whole(fields, letter.raw)
  const [before, content] = fields.contentAt
  fields.content = (letter.raw as string).slice(content)
  return new Whole(fields, letter.raw, before, content)
}

/** Reads a completion out of the line of a hit. `words` gives the word of a number. */
export function completionHit(text: string, words: (number: number) => string): Completion {
  const before = at(Place.Before)
  const content = before + at(Place.After)
  return new Whole(
    {
      content: text.slice(content),
      toolCalls: [],
      finishReason: words(at(Place.FinishReason)),
      deployment: words(at(Place.Deployment)),
      model: words(at(Place.Model)),
      usage: usageOnDesk(),
      cache: 'memory',
      attempts: [],
      latencyMs: at(Place.LatencyMs),
      queuedMs: 0,
      queuePosition: 0,
    },
    text,
    before,
    content,
  )
}

/** One constructor for all, so that every answer has one shape. */
class Whole extends Answer implements Completion {
  declare content: string
  declare toolCalls: Completion['toolCalls']
  declare finishReason: string
  declare deployment: string
  declare model: string
  declare usage: Usage
  declare cache: Served['cache']
  declare attempts: Attempt[]
  declare latencyMs: number
  declare queuedMs: number
  declare queuePosition: number

  constructor(fields: Fields, raw: string | undefined, before?: number, content?: number) {
    super(raw, before, content)
    this.content = fields.content
    this.toolCalls = fields.toolCalls
    this.finishReason = fields.finishReason
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
    return this.content
  }
}

// What inspection shows.
Object.defineProperty(Whole, 'name', { value: 'Completion' })
