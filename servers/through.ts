/** OpenAI's own client, before thryd/fetch, before a server. */

import OpenAI, { APIError } from 'openai'
import { expect } from 'vitest'

import type { RouterOptions } from '..'
import { toFetch } from '../dist/fetch'
import { CALL, CITY, expectCity } from './answers'
import { type Feature, type Named, completions, direct, embeddings, expectVectors } from './asking'
import { type Endpoint, type Server, COUNT, SMALL } from './server'

const HI = { model: 'default', temperature: 0, messages: [{ role: 'user' as const, content: 'hi' }] }

/** A client of routers that ask these. */
async function using<Result>(
  endpoints: Endpoint[],
  use: (client: OpenAI) => Promise<Result>,
  more: RouterOptions = {},
): Promise<Result> {
  await using completion = completions(endpoints, more)
  await using embedding = embeddings(endpoints, more)
  const fetch = toFetch({ completion, embedding }) as typeof globalThis.fetch
  return await use(new OpenAI({ baseURL: 'http://thryd.local/v1', apiKey: 'unused', fetch, maxRetries: 0 }))
}

const whole: Feature = ({ counter }) =>
  using([counter], async (client) => {
    const { choices, usage } = await client.chat.completions.create(HI)
    expect([choices[0]?.message.content, choices[0]?.finish_reason]).toEqual([COUNT, 'stop'])
    expect(usage?.total_tokens).toBeGreaterThan(12)
    return 'yes'
  })

const stream: Feature = ({ counter }) =>
  using([counter], async (client) => {
    const counts: (number | undefined)[] = []
    for (const include_usage of [true, false]) {
      const [pieces, ends]: [string[], string[]] = [[], []]
      let total: number | undefined
      const asked = { ...HI, stream: true as const, stream_options: { include_usage } }
      for await (const { choices, usage } of await client.chat.completions.create(asked)) {
        pieces.push(choices[0]?.delta.content ?? '')
        ends.push(choices[0]?.finish_reason ?? '')
        total = usage?.total_tokens ?? total
      }
      expect(pieces.join('')).toBe(COUNT)
      expect(pieces.filter((piece) => piece !== '').length).toBeGreaterThan(1)
      expect(ends.join('')).toBe('stop')
      counts.push(total)
    }
    expect(counts).toEqual([expect.any(Number), undefined])
    return 'yes'
  })

const tools: Feature = ({ caller }) =>
  using([caller], async (client) => {
    const { message: content, ...asked } = { ...CALL, model: 'default' }
    const messages = [{ role: 'user' as const, content }]
    const body = { ...asked, messages } as OpenAI.ChatCompletionCreateParamsNonStreaming
    let written = ''
    for await (const { choices } of await client.chat.completions.create({ ...body, stream: true }))
      written += choices[0]?.delta.tool_calls?.[0]?.function?.arguments ?? ''
    expect(['Oslo', 'Rome']).toContain((JSON.parse(written) as { city: string }).city)

    const { message } = (await client.chat.completions.create(body)).choices[0] ?? {}
    const [first] = message?.tool_calls ?? []
    // Not every server takes back the `null` that it gave.
    const call = { ...message, content: message?.content ?? '' }
    // What came back is understood where it came from.
    const result = { role: 'tool' as const, tool_call_id: first?.id ?? '', content: 'ten' }
    const told = { ...HI, messages: [...messages, call, result] } as typeof HI
    const said = (await client.chat.completions.create(told)).choices[0]?.message.content ?? ''
    expect(COUNT).toContain(said)
    expect(said.length).toBeGreaterThan(5)
    return 'yes'
  })

const parsed: Feature = ({ counter }, kind) =>
  using([counter], async (client) => {
    const response_format = kind.format(CITY) as OpenAI.ResponseFormatJSONSchema
    const { choices } = await client.chat.completions.parse({ ...HI, max_tokens: 200, response_format })
    expectCity(choices[0]?.message.content ?? '')
    return 'yes'
  })

const vectors: Feature = ({ vectors: model }) =>
  using([model], async (client) => {
    const input = ['one two', 'ten']
    const said = await direct(model, 'embeddings', { input })
    // Without a word about it, the client asks for base64 and reads that.
    for (const format of [{ encoding_format: 'float' as const }, {}]) {
      const { data } = await client.embeddings.create({ model: 'default', input, ...format })
      expectVectors(
        data.map(({ embedding }) => embedding),
        said,
      )
    }
    return 'yes'
  })

/** The status of what the client throws. */
async function thrown(endpoint: Endpoint, asked: object, status: number): Promise<APIError> {
  return using(
    [endpoint],
    async (client) => {
      const [outcome] = await Promise.allSettled([client.chat.completions.create({ ...HI, ...asked } as never)])
      const error = outcome.status === 'rejected' ? (outcome.reason as APIError) : undefined
      expect(error).toBeInstanceOf(APIError)
      expect(error?.status).toBe(status)
      return error as APIError
    },
    { retry: { maxRetries: 0 } },
  )
}

const errors: Feature = async ({ counter, small }: Server) => {
  const refused = await thrown(counter, { response_format: { type: 'verse' } }, 400)
  // In the server's own words.
  expect(refused.message).toContain('type')
  const long = [{ role: 'user', content: 'one '.repeat(2 * SMALL) }]
  expect((await thrown(small, { messages: long }, 400)).code).toBe('context_length_exceeded')
  // Whose key it was is nobody's business.
  const locked = await thrown({ ...counter, apiKey: 'sk-nobody-knows-this-key' }, {}, 502)
  expect(JSON.stringify(locked) + locked.message).not.toContain('nobody-knows')
  return '400, `context_length_exceeded`, 502'
}

export const THROUGH: Named[] = [
  ['`openai` before `thryd/fetch`: a whole answer', whole],
  ['— a stream, with its usage and without', stream],
  ['— tools: calls, results, the answer to them', tools],
  ['— an object by a JSON schema', parsed],
  ['— embeddings as numbers and as base64', vectors],
  ['— refused, too long, the wrong key', errors],
]
