import { streamText } from 'ai'
import OpenAI from 'openai'
import { afterEach, describe, expect, test, vi } from 'vitest'

import { ResponsesRouter } from '..'
import { toFetch } from '../dist/fetch'
import { aiSdk, asked } from './ai-sdk'
import type { Feature } from './asking'
import type { Client } from './client'
import { FAILURES, RESPONSE_FAILURES } from './failures'
import { FEATURES, RESPONSE_FEATURES } from './features'
import { langchain } from './langchain'
import { openai } from './openai'
import { RESPONSES } from './responses'
import { Table } from './table'
import { World } from './world'

const CLIENTS = [openai, aiSdk, langchain]
const table = new Table(CLIENTS)

afterEach(() => {
  vi.restoreAllMocks()
})

const PLACES: [string, boolean][] = [
  ['with the handler as its fetch', false],
  ['before the handler behind node:http', true],
]

/** Does what is claimed, and notes it in the table. */
async function look(client: Client, isServed: boolean, feature: Feature, row: string): Promise<string> {
  const world = await World.start(isServed)
  try {
    const cell = await feature(client, world)
    table.set(row, client, cell)
    return cell
  } finally {
    await world.close()
  }
}

describe.each(CLIENTS)('$name', (client) => {
  describe.each(PLACES)('%s', (_place, isServed) => {
    test.each([...FEATURES, ...FAILURES])('%s', async (title, feature, row = title) => {
      expect(await look(client, isServed, feature, row)).toBeTruthy()
    })
  })
})

describe.each(RESPONSES)('$name on the Responses API', (client) => {
  describe.each(PLACES)('%s', (_place, isServed) => {
    test.each([...RESPONSE_FEATURES, ...RESPONSE_FAILURES])('%s', async (title, feature, row = title) => {
      expect(await look(client, isServed, feature, `Responses API: ${row}`)).toBeTruthy()
    })
  })
})

test.each(['cut', 'end'] as const)('the AI SDK’s textStream throws too at a stream with a %s', async (fault) => {
  const world = await World.start(false)
  world.server.script('m', { fault, afterTokens: 2, tokenIntervalMs: 25 })
  const { textStream } = streamText({ ...asked(world, { content: 'three small words' }), onError: () => undefined })
  const pieces: string[] = []
  const reading = async (): Promise<void> => {
    for await (const text of textStream) pieces.push(text)
  }
  await expect(reading()).rejects.toBeInstanceOf(aiSdk.error)
  expect(pieces.join('')).toBe('three small ')
  await world.close()
})

/** A message of one part. */
function said(id: string, part: object): object {
  return { type: 'message', id, role: 'assistant', status: 'completed', content: [part] }
}

test('OpenAI’s stream helper takes every sort of item from an answer that was kept', async () => {
  const annotation = { type: 'url_citation', url: 'https://a.example', title: 'a', start_index: 0, end_index: 3 }
  const output = [
    {
      type: 'reasoning',
      id: 'rs_1',
      summary: [{ type: 'summary_text', text: 'Let me look.' }],
      content: [{ type: 'reasoning_text', text: 'It is about tea.' }],
      encrypted_content: 'x',
    },
    { type: 'web_search_call', id: 'ws_1', status: 'completed', action: { type: 'search', query: 'tea' } },
    said('msg_1', { type: 'output_text', text: 'one two three four', annotations: [annotation], logprobs: [] }),
    { type: 'function_call', id: 'fc_1', call_id: 'c_1', name: 'f', arguments: '{"a":1}', status: 'completed' },
    { type: 'custom_tool_call', id: 'ct_1', call_id: 'c_2', name: 'g', input: 'free text' },
    said('msg_2', { type: 'refusal', refusal: 'I will not.' }),
  ]
  const answer = {
    id: 'resp_1',
    object: 'response',
    created_at: 1,
    status: 'completed',
    error: null,
    model: 'm',
    output,
  }
  const router = new ResponsesRouter({ cache: {} }).addProvider({ name: 'mine', respond: async () => answer })
  const fetch = toFetch({ responses: router.deploy('default', 'mine::m') }) as typeof globalThis.fetch
  const client = new OpenAI({ baseURL: 'http://thryd.local/v1', apiKey: 'unused', fetch, maxRetries: 0 })
  for (const _ of ['asked', 'kept']) {
    const final = await client.responses.stream({ model: 'default', input: 'tea?' }).finalResponse()
    expect(final.output).toMatchObject(output)
    expect(final.output_text).toBe('one two three four')
  }
})

test('the table in docs/clients.md is what the clients did (UPDATE_TABLE=1 writes it)', () => {
  const { measured, documented } = table.compare()
  expect(measured).toBe(documented)
})
