import { AIMessageChunk, HumanMessage, ToolMessage, type UsageMetadata } from '@langchain/core/messages'
import { DynamicStructuredTool } from '@langchain/core/tools'
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai'
import { APIError } from 'openai'

import { type Ask, type Client, CITY, WEATHER } from './client'
import { KEY, type World } from './world'

function modelOf(world: World, { model = 'default', key = KEY, maxRetries = 0 }: Partial<Ask> = {}): ChatOpenAI {
  const configuration = { baseURL: world.base, fetch: world.fetch }
  return new ChatOpenAI({ model, apiKey: key, configuration, maxRetries })
}

function embeddingsOf(world: World, encoding?: 'float'): OpenAIEmbeddings {
  const configuration = { baseURL: world.base, fetch: world.fetch }
  const format = encoding && { encodingFormat: encoding }
  return new OpenAIEmbeddings({ model: 'vectors', apiKey: KEY, configuration, maxRetries: 0, ...format })
}

function signalOf({ signal }: Ask): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}

export const langchain: Client = {
  name: 'LangChain.js',
  packages: '`@langchain/openai` 1',
  // It throws those of OpenAI's SDK, which is below it.
  error: APIError,
  async ask(world, ask) {
    return (await modelOf(world, ask).invoke(ask.content, signalOf(ask))).text
  },
  async *stream(world, ask) {
    for await (const { text } of await modelOf(world, ask).stream(ask.content, signalOf(ask))) yield text
  },
  statusOf: (error) => (error instanceof APIError ? (error.status as number | undefined) : undefined),
  tools: (world, stream) => answered(modelOf(world), stream),
  structured: (world, content) => structuredBy(modelOf(world), content),
  embed: {
    float: (world, texts) => embeddingsOf(world, 'float').embedDocuments(texts),
    // The choice of OpenAI's SDK below it, if nothing is said. Strings come back undecoded from `encodingFormat: 'base64'`.
    base64: (world, texts) => embeddingsOf(world).embedDocuments(texts),
  },
  usage: (world, content) => usageOf(modelOf(world), content),
}

/** What it called for, and the answer to what it was told. */
export async function answered(model: ChatOpenAI, stream: boolean): Promise<{ calls: string[]; answer: string }> {
  const calls: string[] = []
  const weather = new DynamicStructuredTool({
    name: WEATHER.name,
    description: WEATHER.description,
    schema: WEATHER.parameters,
    func: async ({ city }: { city: string }) => {
      calls.push(city)
      return `sunny in ${city}`
    },
  })
  const bound = model.bindTools([weather])
  const question = new HumanMessage('the weather?')
  const first = stream ? await whole(await bound.stream([question])) : await bound.invoke([question])
  const results: ToolMessage[] = []
  for (const { id = '', args } of first.tool_calls ?? [])
    results.push(new ToolMessage(await weather.invoke(args as { city: string }), id))
  const history = [question, first, ...results]
  const last = stream ? await whole(await bound.stream(history)) : await bound.invoke(history)
  return { calls, answer: last.text }
}

/** The object that it read by `CITY`. */
export function structuredBy(model: ChatOpenAI, content: string): Promise<unknown> {
  const method = { method: 'jsonSchema' as const, name: 'city', strict: true }
  return model.withStructuredOutput(CITY, method).invoke(content)
}

/** Tokens that a stream says it took. */
export async function usageOf(model: ChatOpenAI, content: string): Promise<number | undefined> {
  const { usage_metadata } = await whole(await model.stream(content))
  return (usage_metadata as UsageMetadata | undefined)?.total_tokens
}

/** The message that its chunks are of. */
async function whole(chunks: AsyncIterable<AIMessageChunk>): Promise<AIMessageChunk> {
  let message = new AIMessageChunk('')
  for await (const chunk of chunks) message = message.concat(chunk)
  return message
}
