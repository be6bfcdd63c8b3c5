/** What every client is asked to do, and must be able to. */

import { expect, vi } from 'vitest'

import { type Feature, type Named, ask, caught, nameOf, read } from './asking'
import { type Client, WEATHER } from './client'
import type { World } from './world'

async function whole(client: Client, world: World): Promise<string> {
  expect(await client.ask(world, { content: 'three small words' })).toBe('three small words')
  expect(world.last.body).toMatchObject({ model: 'm', messages: [{ role: 'user' }] })
  return 'yes'
}

async function stream(client: Client, world: World): Promise<string> {
  const pieces: string[] = []
  expect(await read(client.stream(world, { content: 'three small words' }), pieces)).toBe('three small words')
  expect(pieces.length).toBe(3)
  expect(world.last.stream).toBe(true)
  return 'yes'
}

async function usage(client: Client, world: World): Promise<string> {
  expect(await client.usage(world, 'three small words')).toBe(6)
  return 'yes'
}

function tools(isStream: boolean): Feature {
  return async (client, world) => {
    const toolCalls = ['Oslo', 'Rome'].map((city) => ({ id: `call_${city}`, name: WEATHER.name, arguments: { city } }))
    world.server.script('m', [{ toolCalls }, { content: 'both are sunny' }])
    expect(await client.tools(world, isStream)).toEqual({ calls: ['Oslo', 'Rome'], answer: 'both are sunny' })
    const [first, second] = world.server.requests.map(({ body }) => body)
    expect(first?.['tools']).toMatchObject([{ type: 'function', function: WEATHER }])
    const messages = second?.['messages'] as Record<string, unknown>[]
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'tool'])
    expect(messages[1]?.['tool_calls']).toMatchObject([{ id: 'call_Oslo' }, { id: 'call_Rome' }])
    expect(messages.slice(2)).toMatchObject([
      { tool_call_id: 'call_Oslo', content: expect.stringContaining('sunny in Oslo') as string },
      { tool_call_id: 'call_Rome', content: expect.stringContaining('sunny in Rome') as string },
    ])
    return 'yes'
  }
}

async function structured(client: Client, world: World): Promise<string> {
  const city = { city: 'Oslo', people: 700_000 }
  world.server.script('m', { content: JSON.stringify(city) })
  expect(await client.structured(world, 'which city?')).toEqual(city)
  expect(world.last.body['response_format']).toMatchObject({
    type: 'json_schema',
    json_schema: { schema: { required: ['city', 'people'], additionalProperties: false } },
  })
  return 'yes'
}

function embeddings(encoding: 'float' | 'base64'): Feature {
  return async (client, world) => {
    const embed = client.embed[encoding]
    if (embed === undefined) return 'never asked for'
    const asked = vi.spyOn(world, 'fetch')
    const vectors = await embed(world, ['one', 'two', 'one'])
    const sent = JSON.parse(asked.mock.calls[0]?.[1]?.body as string) as { encoding_format?: string }
    expect(sent.encoding_format).toBe(encoding)
    const [one, two] = await provided(world, ['one', 'two'])
    expect(one).not.toEqual(two)
    expect(vectors.map((vector) => Float32Array.from(vector))).toEqual([one, two, one])
    return 'yes'
  }
}

/** What the provider itself says, as numbers of 32 bits. */
async function provided(world: World, input: string[]): Promise<Float32Array[]> {
  const response = await fetch(`${world.server.url}/embeddings`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'v', input }),
  })
  const { data } = (await response.json()) as { data: { embedding: number[] }[] }
  return data.map(({ embedding }) => Float32Array.from(embedding))
}

async function header(client: Client, world: World): Promise<string> {
  if (client.header === undefined) return 'not shown'
  expect(await client.header(world, 'hi', 'x-thryd-deployment')).toBe('faulty::m')
  return 'yes'
}

async function models(client: Client, world: World): Promise<string> {
  if (client.models === undefined) return 'never asked for'
  expect(await client.models(world)).toEqual(['default', 'silent', 'vectors'])
  return 'yes'
}

async function kept(client: Client, world: World): Promise<string> {
  for (const isStream of [false, true, true])
    expect(await ask(client, world, isStream, { content: 'three small words' })).toBe('three small words')
  expect(world.server.requests.length).toBe(1)
  return 'yes'
}

function abort(isStream: boolean): Feature {
  return async (client, world) => {
    const controller = new AbortController()
    const error = caught(ask(client, world, isStream, { content: 'hi', model: 'silent', signal: controller.signal }))
    await world.server.waitFor(() => world.server.requests.length)
    controller.abort()
    await world.left()
    expect(world.server.requests.length).toBe(1)
    return `yes: ${nameOf(await error)}`
  }
}

async function abortInStream(client: Client, world: World): Promise<string> {
  world.server.script('m', { fault: 'stall', afterTokens: 2 })
  const controller = new AbortController()
  const pieces: string[] = []
  let end = 'the loop ends'
  try {
    for await (const text of client.stream(world, { content: 'three small words', signal: controller.signal })) {
      if (text !== '') pieces.push(text)
      if (pieces.length === 2) controller.abort()
    }
  } catch (error) {
    end = nameOf(error as Error)
  }
  expect(pieces.join('')).toBe('three small ')
  await world.left()
  return `yes: ${end}`
}

async function leave(client: Client, world: World): Promise<string> {
  world.server.script('m', { fault: 'stall', afterTokens: 2 })
  const controller = new AbortController()
  for await (const text of client.stream(world, { content: 'three small words', signal: controller.signal }))
    if (text !== '') break
  if (client.readsOn) controller.abort()
  await world.left()
  return client.readsOn ? 'no, an abort does' : 'yes'
}

export const FEATURES: Named[] = [
  ['a whole answer', whole],
  ['a stream, in its pieces', stream],
  ['a stream’s usage', usage],
  ['tools: calls, results, the answer to them', tools(false)],
  ['tools in a stream', tools(true)],
  ['an object by a JSON schema', structured],
  ['embeddings as numbers', embeddings('float')],
  ['embeddings as base64', embeddings('base64')],
  ['the list of models', models],
  ['who answered: `x-thryd-deployment`', header],
  ['an answer from the cache, also as a stream', kept],
  ['an abort closes the provider’s socket', abort(false)],
  ['an abort closes it before a stream begins', abort(true)],
  ['an abort closes it in a stream', abortInStream],
  ['leaving the loop closes it', leave],
]

async function wholeResponse(client: Client, world: World): Promise<string> {
  expect(await client.ask(world, { content: 'three small words' })).toBe('three small words')
  expect(world.last.path).toBe('/v1/responses')
  expect(JSON.stringify(world.last.body['input'])).toContain('three small words')
  return 'yes'
}

function responseTools(isStream: boolean): Feature {
  return async (client, world) => {
    const toolCalls = ['Oslo', 'Rome'].map((city) => ({ id: `call_${city}`, name: WEATHER.name, arguments: { city } }))
    world.server.script('m', [{ toolCalls }, { content: 'both are sunny' }])
    expect(await client.tools(world, isStream)).toEqual({ calls: ['Oslo', 'Rome'], answer: 'both are sunny' })
    const [first, second] = world.server.requests.map(({ body }) => body)
    expect(first?.['tools']).toMatchObject([{ type: 'function', name: WEATHER.name, parameters: WEATHER.parameters }])
    const input = second?.['input'] as Record<string, unknown>[]
    const results = input.filter(({ type }) => type === 'function_call_output')
    expect(results).toMatchObject([
      { call_id: 'call_Oslo', output: expect.stringContaining('sunny in Oslo') as string },
      { call_id: 'call_Rome', output: expect.stringContaining('sunny in Rome') as string },
    ])
    return 'yes'
  }
}

async function structuredResponse(client: Client, world: World): Promise<string> {
  const city = { city: 'Oslo', people: 700_000 }
  world.server.script('m', { content: JSON.stringify(city) })
  expect(await client.structured(world, 'which city?')).toEqual(city)
  expect(world.last.body['text']).toMatchObject({
    format: { type: 'json_schema', schema: { required: ['city', 'people'], additionalProperties: false } },
  })
  return 'yes'
}

/** The same of the Responses API. */
export const RESPONSE_FEATURES: Named[] = [
  ['a whole answer', wholeResponse],
  ['a stream, in its pieces', stream],
  ['a stream’s usage', usage],
  ['tools: calls, results, the answer to them', responseTools(false)],
  ['tools in a stream', responseTools(true)],
  ['an object by a JSON schema', structuredResponse],
  ['who answered: `x-thryd-deployment`', header],
  ['an answer from the cache, also as a stream', kept],
  ['an abort closes the provider’s socket', abort(false)],
  ['an abort closes it in a stream', abortInStream],
  ['leaving the loop closes it', leave],
]
