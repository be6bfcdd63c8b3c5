/** What the tests of all servers share. */

import { expect } from 'vitest'

import { CompletionRouter, EmbeddingRouter, type CompletionStream, type RouterOptions, ThrydError } from '..'
import type { Endpoint, Kind, Server } from './server'

/** A claim about one server. What it gives is a cell of the table. */
export type Feature<Of extends Server = Server> = (server: Of, kind: Kind) => Promise<string>

/** A row of the table, and what it takes. */
export type Named<Of extends Server = Server> = [row: string, feature: Feature<Of>]

/** Nobody waits between two attempts; whoever fails for good rests for a moment. */
const RETRY = { baseDelayMs: 0, cooldownMs: 50 }

const name = (place: number): string => String.fromCodePoint(97 + place)

function options(endpoints: Endpoint[], more: RouterOptions): RouterOptions {
  return {
    providers: endpoints.map(({ baseUrl, apiKey }, place) => ({
      type: 'openai-compatible',
      name: name(place),
      baseUrl,
      apiKey,
    })),
    groups: {
      default: {
        strategy: 'first-available',
        deployments: endpoints.map(({ model }, place) => `${name(place)}::${model}`),
      },
    },
    retry: RETRY,
    ...more,
  }
}

/** A group `default` that asks these in their order; the providers are called `a`, `b` and so on. */
export function completions(endpoints: Endpoint[], more: RouterOptions = {}): CompletionRouter {
  return new CompletionRouter(options(endpoints, more))
}

/** The same for vectors. */
export function embeddings(endpoints: Endpoint[], more: RouterOptions = {}): EmbeddingRouter {
  return new EmbeddingRouter(options(endpoints, more))
}

/** How each attempt ended, of an answer or of an error. */
export function outcomes({ attempts }: { attempts: { deployment: string; outcome: string }[] }): string[] {
  return attempts.map(({ deployment, outcome }) => `${deployment.split('::')[0]} ${outcome}`)
}

/** What a call of thryd fails with. */
export async function failure(call: PromiseLike<unknown>): Promise<ThrydError> {
  const [outcome] = await Promise.allSettled([call])
  if (outcome.status === 'fulfilled') throw new Error(`nothing was thrown, but given: ${JSON.stringify(outcome.value)}`)
  if (!ThrydError.is(outcome.reason)) throw outcome.reason
  return outcome.reason
}

/** Reads a stream to its end, the pieces of its text `into` a list; what a restart discards is gone. */
export async function read(stream: CompletionStream, into: string[] = []): Promise<string> {
  for await (const chunk of stream) {
    if (chunk.type === 'restart') into.length = 0
    if (chunk.type === 'content') into.push(chunk.delta)
  }
  return into.join('')
}

/** What a server says by itself, with nobody between. */
export async function direct(endpoint: Endpoint, path: string, body: object): Promise<unknown> {
  const response = await fetch(`${endpoint.baseUrl}/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${endpoint.apiKey}` },
    body: JSON.stringify({ model: endpoint.model, ...body }),
  })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return response.json()
}

/** Whether vectors are those that a server said itself: what is summed up in another order differs in the last digits. */
export function expectVectors(vectors: Iterable<number>[], said: unknown): void {
  const { data } = said as { data: { embedding: number[] }[] }
  expect(vectors.length).toBe(data.length)
  for (const [place, vector] of vectors.entries()) {
    const [given, expected] = [[...vector], data[place]?.embedding ?? []]
    expect(given.length).toBe(expected.length)
    for (const [at, value] of expected.entries()) expect(given[at]).toBeCloseTo(value, 4)
  }
}
