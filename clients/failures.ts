/** What a client makes of each failure; the cell of the table is the class that it throws. */

import { expect, vi } from 'vitest'

import { type Feature, type Named, ask, caught, nameOf, read } from './asking'
import type { Ask, Client } from './client'
import type { World } from './world'

/** A failure that the client is to see with this status, streamed or not. */
function failure(status: number, isStream: boolean, prepare: (world: World) => Partial<Ask>): Feature {
  return async (client, world) => {
    const error = await caught(ask(client, world, isStream, { content: 'hi', ...prepare(world) }))
    expect(error).toBeInstanceOf(client.error)
    expect(client.statusOf(error)).toBe(status)
    return nameOf(error)
  }
}

/** In the provider's own words. */
function refused(status: number): (world: World) => Partial<Ask> {
  const body = { error: { message: 'it does not like that', type: 'invalid_request_error' } }
  return ({ server }) => {
    server.script('m', { status, body })
    return {}
  }
}

function limited({ server }: World): Partial<Ask> {
  server.script('m', { status: 429, retryAfterMs: 30_000 })
  return {}
}

function silent(world: World): Partial<Ask> {
  world.hurry()
  return { model: 'silent' }
}

async function words(client: Client, world: World): Promise<string> {
  refused(400)(world)
  expect((await caught(client.ask(world, { content: 'hi' }))).message).toContain('it does not like that')
  return 'yes'
}

async function retryAfter(client: Client, world: World): Promise<string> {
  const timers = vi.spyOn(globalThis, 'setTimeout')
  world.server.script('m', [{ status: 429, retryAfterMs: 900 }, 'ok'])
  expect(await client.ask(world, { content: 'hi', maxRetries: 1 })).toBe('hi')
  expect(world.server.requests.length).toBe(2)
  // Nobody waits so long of their own accord: they begin with half a second, or with one and more.
  const isHeard = timers.mock.calls.some(([, delay]) => delay !== undefined && delay > 500 && delay <= 900)
  return isHeard ? 'yes' : 'waits by its own clock'
}

function broken(fault: 'cut' | 'end' | 'errorEvent'): Feature {
  return async (client, world) => {
    // What comes at once with a failure is not begun with: the client would see a status.
    world.server.script('m', { fault, afterTokens: 2, tokenIntervalMs: 25 })
    const pieces: string[] = []
    const error = await caught(read(client.stream(world, { content: 'three small words' }), pieces))
    expect(pieces.join('')).toBe('three small ')
    if (fault !== 'errorEvent') expect(error.message).toContain('ended early')
    return nameOf(error)
  }
}

const FAILED: [number, string, (world: World) => Partial<Ask>][] = [
  [400, 'the provider refuses the request', refused(400)],
  [401, 'the key is wrong', () => ({ key: 'other' })],
  [404, 'there is no such group', () => ({ model: 'nowhere' })],
  [409, 'the provider sees a conflict', refused(409)],
  [422, 'the provider refuses what the request says', refused(422)],
  [429, 'every deployment is at its limit', limited],
  [502, 'the provider fails', refused(503)],
  [504, 'the provider is silent', silent],
]

export const FAILURES: Named[] = [
  ...FAILED.flatMap(([status, title, prepare]): Named[] => [
    [`${status}: ${title}`, failure(status, false, prepare)],
    [`${status} to a stream`, failure(status, true, prepare), `${status}: ${title}`],
  ]),
  ['the provider’s own words', words],
  ['waits as long as `retry-after` says', retryAfter],
  ['a stream that is cut', broken('cut')],
  ['a stream that ends too early', broken('end')],
  ['a stream that says an error', broken('errorEvent')],
]

/** Those of them that the Responses API tells in a way of its own. */
export const RESPONSE_FAILURES: Named[] = [
  ['400: the provider refuses the request', failure(400, false, refused(400))],
  ['400 to a stream', failure(400, true, refused(400)), '400: the provider refuses the request'],
  ['429: every deployment is at its limit', failure(429, true, limited)],
  ['502: the provider fails', failure(502, true, refused(503))],
  ['a stream that is cut', broken('cut')],
  ['a stream that ends too early', broken('end')],
  ['a stream that says an error', broken('errorEvent')],
]
