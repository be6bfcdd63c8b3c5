/** The same clients on OpenAI's Responses API. */

import { createOpenAI } from '@ai-sdk/openai'
import { ChatOpenAI } from '@langchain/openai'
import { Output, generateText, jsonSchema, stepCountIs, streamText } from 'ai'
import type { ResponseInputItem } from 'openai/resources/responses/responses'

import { aiSdk, textOf, weatherOf } from './ai-sdk'
import { type Ask, type Client, CITY, WEATHER } from './client'
import { answered, langchain, structuredBy, usageOf } from './langchain'
import { clientOf, openai, signalOf } from './openai'
import { KEY, type World } from './world'

function said({ content, model = 'default' }: Ask) {
  return { model, input: content }
}

const openaiResponses: Client = {
  ...openai,
  async ask(world, ask) {
    return (await clientOf(world, ask).responses.create(said(ask), signalOf(ask))).output_text
  },
  async *stream(world, ask) {
    const body = { ...said(ask), stream: true as const }
    for await (const event of await clientOf(world, ask).responses.create(body, signalOf(ask)))
      if (event.type === 'response.output_text.delta') yield event.delta
  },
  async tools(world, stream) {
    const calls: string[] = []
    const { responses } = clientOf(world)
    const tools = [{ type: 'function' as const, ...WEATHER, strict: true }]
    const respond = (input: ResponseInputItem[]) => {
      const body = { model: 'default', input, tools }
      return stream ? responses.stream(body).finalResponse() : responses.parse(body)
    }
    const question: ResponseInputItem = { role: 'user', content: 'the weather?' }
    const { output } = await respond([question])
    const results = output.flatMap((item) => {
      if (item.type !== 'function_call') return []
      const { city } = JSON.parse(item.arguments) as { city: string }
      calls.push(city)
      return [{ type: 'function_call_output' as const, call_id: item.call_id, output: `sunny in ${city}` }]
    })
    const last = await respond([question, ...(output as ResponseInputItem[]), ...results])
    return { calls, answer: last.output_text }
  },
  async structured(world, content) {
    const format = { type: 'json_schema' as const, name: 'city', strict: true, schema: CITY }
    const answer = await clientOf(world).responses.parse({ ...said({ content }), text: { format } })
    return JSON.parse(answer.output_text)
  },
  async usage(world, content) {
    return (await clientOf(world).responses.stream(said({ content })).finalResponse()).usage?.total_tokens
  },
  async header(world, content, name) {
    const { response } = await clientOf(world).responses.create(said({ content })).withResponse()
    return response.headers.get(name)
  },
}

/** The options of a call. */
function asked(world: World, { content, model = 'default', key = KEY, signal, maxRetries = 0 }: Ask) {
  const provider = createOpenAI({ baseURL: world.base, apiKey: key, fetch: world.fetch })
  return { model: provider.responses(model), prompt: content, maxRetries, ...(signal && { abortSignal: signal }) }
}

const aiSdkResponses: Client = {
  ...aiSdk,
  async ask(world, ask) {
    return (await generateText(asked(world, ask))).text
  },
  stream: (world, ask) => textOf(streamText({ ...asked(world, ask), onError: () => undefined }).fullStream),
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
  async usage(world, content) {
    return (await streamText(asked(world, { content })).usage).totalTokens
  },
  async header(world, content, name) {
    return (await generateText(asked(world, { content }))).response.headers?.[name]
  },
}

function modelOf(world: World, { model = 'default', key = KEY, maxRetries = 0 }: Partial<Ask> = {}): ChatOpenAI {
  const configuration = { baseURL: world.base, fetch: world.fetch }
  return new ChatOpenAI({ model, apiKey: key, configuration, maxRetries, useResponsesApi: true })
}

const langchainResponses: Client = {
  ...langchain,
  async ask(world, ask) {
    return (await modelOf(world, ask).invoke(ask.content, signalOf(ask))).text
  },
  async *stream(world, ask) {
    for await (const { text } of await modelOf(world, ask).stream(ask.content, signalOf(ask))) yield text
  },
  tools: (world, stream) => answered(modelOf(world), stream),
  structured: (world, content) => structuredBy(modelOf(world), content),
  usage: (world, content) => usageOf(modelOf(world), content),
}

/** Each as it is asked for responses. */
export const RESPONSES: Client[] = [openaiResponses, aiSdkResponses, langchainResponses]
