/** What every server under test can be asked for. */

import type { Mortal } from './child'

/** A model of a server. */
export interface Endpoint {
  baseUrl: string
  apiKey: string
  model: string
}

/** A counter whose server can be killed. */
export interface Killable {
  endpoint: Endpoint
  server: Mortal
}

/** The form of an object as a JSON schema, as OpenAI has it. */
export interface Form {
  name: string
  strict: boolean
  schema: object
}

/** A server with the models that the tests ask. */
export interface Server {
  /** Counts from one to twelve. */
  counter: Endpoint
  /** The same, where tools can be called. */
  caller: Endpoint
  /** The same with a context of `SMALL` tokens. */
  small: Endpoint
  /** Makes vectors. */
  vectors: Endpoint
  /** The same counter on another server, which nobody kills. */
  other: Endpoint
  /** The same counter once more, alive: the same one every time. */
  mortal(): Promise<Killable>
  close(): Promise<void>
}

/** What a column of the table is about. */
export interface Kind {
  /** The folder of its environment. */
  name: string
  /** The distribution whose version stands in the table. */
  distribution: string
  /** In the words of the table. */
  title: string
  start(model: string): Promise<Server>
  /** Tokens that it says in a second or a few. */
  long: number
  /** Milliseconds in which it has let go of whoever left; an endless answer takes much longer. */
  leavingMs: number
  /** `response_format` for a form. */
  format(form: Form): object
}

/** As OpenAI says it. */
export function openaiFormat(json_schema: Form): object {
  return { type: 'json_schema', json_schema }
}

/** The only key that any of them lets in. */
export const KEY = 'sk-thryd-servers'

/** Tokens of a small context. */
export const SMALL = 256

/** Tokens of the others: an endless count takes many seconds. */
export const LARGE = 131_072

/** What the model answers to anything. */
export const COUNT = ' one two three four five six seven eight nine ten eleven twelve'

/** What it says without an end, so many tokens of it. */
export function counted(tokens: number): string {
  const words = COUNT.trimStart().split(' ')
  return Array.from({ length: tokens }, (_, place) => ` ${words[place % words.length] ?? ''}`).join('')
}

/** The token that ends an answer, for who wants one without an end. */
export const END = 258
