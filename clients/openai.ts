import OpenAI, { APIError } from 'openai'
import type { RunnableToolFunctionWithParse } from 'openai/lib/RunnableFunction'

import { type Ask, type Client, CITY, WEATHER } from './client'
import { KEY, type World } from './world'

/** OpenAI's client, in a world. */
export function clientOf(world: World, { key = KEY, maxRetries = 0 }: Partial<Ask> = {}): OpenAI {
  return new OpenAI({ baseURL: world.base, apiKey: key, fetch: world.fetch, maxRetries })
}

function said({ content, model = 'default' }: Ask) {
  return { model, messages: [{ role: 'user' as const, content }] }
}

async function embedded(world: World, input: string[], encoding?: 'float'): Promise<number[][]> {
  const format = encoding && { encoding_format: encoding }
  const { data } = await clientOf(world).embeddings.create({ model: 'vectors', input, ...format })
  return data.map(({ embedding }) => embedding)
}

export const openai: Client = {
  name: 'OpenAI SDK',
  packages: '`openai` 7',
  error: APIError,
  async ask(world, ask) {
    const { choices } = await clientOf(world, ask).chat.completions.create(said(ask), signalOf(ask))
    return choices[0]?.message.content ?? ''
  },
  async *stream(world, ask) {
    const asked = { ...said(ask), stream: true as const }
    for await (const { choices } of await clientOf(world, ask).chat.completions.create(asked, signalOf(ask)))
      yield choices[0]?.delta.content ?? ''
  },
  statusOf: (error) => (error instanceof APIError ? (error.status as number | undefined) : undefined),
  async tools(world, stream) {
    const calls: string[] = []
    const weather: RunnableToolFunctionWithParse<{ city: string }> = {
      type: 'function',
      function: {
        ...WEATHER,
        parse: (text) => JSON.parse(text) as { city: string },
        function: ({ city }) => {
          calls.push(city)
          return `sunny in ${city}`
        },
      },
    }
    const asked = { ...said({ content: 'the weather?' }), tools: [weather] }
    const { completions } = clientOf(world).chat
    const runner = stream ? completions.runTools({ ...asked, stream }) : completions.runTools(asked)
    return { calls, answer: (await runner.finalContent()) ?? '' }
  },
  async structured(world, content) {
    const json_schema = { name: 'city', strict: true, schema: CITY }
    const { choices } = await clientOf(world).chat.completions.parse({
      ...said({ content }),
      response_format: { type: 'json_schema', json_schema },
    })
    return JSON.parse(choices[0]?.message.content ?? '')
  },
  embed: {
    float: (world, texts) => embedded(world, texts, 'float'),
    // Its own choice, which it decodes by itself.
    base64: (world, texts) => embedded(world, texts),
  },
  async usage(world, content) {
    const asked = { ...said({ content }), stream: true as const, stream_options: { include_usage: true } }
    let total: number | undefined
    for await (const { usage } of await clientOf(world).chat.completions.create(asked)) total = usage?.total_tokens
    return total
  },
  async models(world) {
    return (await clientOf(world).models.list()).data.map(({ id }) => id)
  },
  async header(world, content, name) {
    const { response } = await clientOf(world).chat.completions.create(said({ content })).withResponse()
    return response.headers.get(name)
  },
}

/** The signal, for clients that do not take an undefined one. */
export function signalOf({ signal }: Ask): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}
