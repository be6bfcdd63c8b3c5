import { createOpenAICompatible, type OpenAICompatibleProvider } from '@ai-sdk/openai-compatible'
import {
  APICallError,
  Output,
  type TextStreamPart,
  type ToolSet,
  embedMany,
  generateText,
  jsonSchema,
  stepCountIs,
  streamText,
  tool,
} from 'ai'

import { type Ask, type Client, CITY, WEATHER } from './client'
import { KEY, type World } from './world'

function providerOf(world: World, key = KEY): OpenAICompatibleProvider {
  return createOpenAICompatible({
    name: 'thryd',
    baseURL: world.base,
    apiKey: key,
    fetch: world.fetch,
    supportsStructuredOutputs: true,
    includeUsage: true,
  })
}

/** The options of a call. */
export function asked(world: World, { content, model = 'default', key, signal, maxRetries = 0 }: Ask) {
  const abort = signal && { abortSignal: signal }
  return { model: providerOf(world, key)(model), prompt: content, maxRetries, ...abort }
}

/** The text in the parts of a stream. */
export async function* textOf(parts: AsyncIterable<TextStreamPart<ToolSet>>): AsyncIterable<string> {
  for await (const part of parts) {
    if (part.type === 'error') throw part.error
    if (part.type === 'abort') throw new DOMException('aborted', 'AbortError')
    if (part.type === 'text-delta') yield part.text
  }
}

/** The tool, which notes the cities that it is called for. */
export function weatherOf(calls: string[]) {
  return tool({
    description: WEATHER.description,
    inputSchema: jsonSchema<{ city: string }>(WEATHER.parameters),
    execute: ({ city }) => {
      calls.push(city)
      return `sunny in ${city}`
    },
  })
}

export const aiSdk: Client = {
  name: 'AI SDK',
  packages: '`ai` 7, `@ai-sdk/openai-compatible`, `@ai-sdk/openai`',
  error: APICallError,
  async ask(world, ask) {
    return (await generateText(asked(world, ask))).text
  },
  stream: (world, ask) => textOf(streamText({ ...asked(world, ask), onError: () => undefined }).fullStream),
  // Its `text` and `usage` want the rest of the stream.
  readsOn: true,
  statusOf: (error) => (APICallError.isInstance(error) ? error.statusCode : undefined),
  async tools(world, stream) {
    const calls: string[] = []
    const tools = { weather: weatherOf(calls) }
    const options = { ...asked(world, { content: 'the weather?' }), tools, stopWhen: stepCountIs(3) }
    const answer = stream ? await streamText(options).text : (await generateText(options)).text
    return { calls, answer }
  },
  async structured(world, content) {
    const schema = jsonSchema<{ city: string; people: number }>(CITY)
    return (await generateText({ ...asked(world, { content }), output: Output.object({ schema }) })).output
  },
  embed: {
    async float(world, values) {
      const model = providerOf(world).embeddingModel('vectors')
      return (await embedMany({ model, values, maxRetries: 0 })).embeddings
    },
  },
  async usage(world, content) {
    return (await streamText(asked(world, { content })).usage).totalTokens
  },
  async header(world, content, name) {
    return (await generateText(asked(world, { content }))).response.headers?.[name]
  },
}
