/** What every client is asked to do. */

import type { World } from './world'

/** One question. What is not said is as in most of them. */
export interface Ask {
  content: string
  /** @default 'default' */
  model?: string
  /** @default the key that is let in */
  key?: string
  signal?: AbortSignal
  /** How often the client itself tries again. @default 0 */
  maxRetries?: number
}

/** A client, in the words of its own documentation. A feature that it does not have is left out. */
export interface Client {
  name: string
  /** What is installed, as the table names it. */
  packages: string
  /** What one writes down to catch a failed call. */
  error: abstract new (...values: never[]) => Error
  ask(world: World, ask: Ask): Promise<string>
  /** The text as it comes; throws where the client shows that the stream failed. */
  stream(world: World, ask: Ask): AsyncIterable<string>
  /** The HTTP status that a caught error tells. */
  statusOf(error: unknown): number | undefined
  /** The cities whose weather it called for, and the answer to what it was told. */
  tools(world: World, stream: boolean): Promise<{ calls: string[]; answer: string }>
  /** The object that it read by `CITY`. */
  structured(world: World, content: string): Promise<unknown>
  /** Vectors by the encoding that is asked for. */
  embed: Partial<Record<'float' | 'base64', (world: World, texts: string[]) => Promise<number[][]>>>
  /** Tokens that a stream says it took. */
  usage(world: World, content: string): Promise<number | undefined>
  /** Whether it reads on when its reader leaves the loop, wherever the stream comes from: only its signal ends it then. */
  readsOn?: boolean
  /** The names of the models that it lists. */
  models?(world: World): Promise<string[]>
  /** A header of the response. */
  header?(world: World, content: string, name: string): Promise<string | null | undefined>
}

/** A tool that every client is given. */
export const WEATHER = {
  name: 'weather',
  description: 'The weather of a city.',
  parameters: {
    type: 'object' as const,
    properties: { city: { type: 'string' as const } },
    required: ['city'],
    additionalProperties: false as const,
  },
}

/** The form of a structured answer. */
export const CITY = {
  type: 'object',
  properties: { city: { type: 'string' }, people: { type: 'number' } },
  required: ['city', 'people'],
  additionalProperties: false,
} as const
