/** Anthropic's dialect through the package: a conversation with thinking and a tool, as an agent leads it. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { CompletionRouter } from '..'
import { TestServer, send } from './support/server'

let server: TestServer

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

const thinking = { type: 'thinking', thinking: 'Paris it is.', signature: 'EqQBCgIYAhIM' }
const use = { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { location: 'Paris' } }
const usage = { input_tokens: 10, cache_read_input_tokens: 90, output_tokens: 7 }

/** A message that thinks and calls, as events; without its end if it is cut. */
function events(isCut = false): string {
  const all = [
    { type: 'message_start', message: { id: 'msg_1', type: 'message', model: 'claude', content: [], usage } },
    { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: thinking.thinking } },
    { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: thinking.signature } },
    { type: 'content_block_stop', index: 0 },
    { type: 'content_block_start', index: 1, content_block: { ...use, input: {} } },
    { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '{"location":' } },
    { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '"Paris"}' } },
    { type: 'content_block_stop', index: 1 },
    { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage },
    { type: 'message_stop' },
  ]
  const sent = isCut ? all.slice(0, -1) : all
  return sent.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')
}

function routed(): CompletionRouter {
  const router = new CompletionRouter({ retry: { maxRetries: 0 } })
  router.addProvider({ type: 'anthropic', baseUrl: server.origin, apiKey: 'sk-ant' })
  return router.deploy('default', 'anthropic::claude')
}

interface Raw {
  choices: { message: { role: string; content: string | null; [field: string]: unknown } }[]
}

describe('a conversation with Claude', () => {
  test('streams its thinking and its calls, and goes back with the signature that it came with', async () => {
    server.answer = (_seen, response) => send(response, events(), 200, { 'content-type': 'text/event-stream' })
    const router = routed()
    const question = { role: 'user', content: 'How is the weather in Paris?' }
    const stream = router.stream('default', { messages: [question] })
    const said = []
    for await (const chunk of stream) said.push(chunk)
    expect(said[0]).toEqual({ type: 'reasoning', delta: thinking.thinking })
    const answer = await stream.completion()
    expect(answer.toolCalls).toEqual([{ id: 'toolu_1', name: 'get_weather', arguments: '{"location":"Paris"}' }])
    expect(answer.finishReason).toBe('tool_calls')
    expect(answer.usage).toMatchObject({ promptTokens: 100, completionTokens: 7, cachedPromptTokens: 90 })
    expect(server.last.headers).toMatchObject({ 'x-api-key': 'sk-ant', 'anthropic-version': '2023-06-01' })
    expect(server.last.path).toBe('/v1/messages')

    const [choice] = (answer.raw as Raw).choices
    const result = { role: 'tool', tool_call_id: 'toolu_1', content: '15 degrees' }
    await router.invoke('default', { messages: [question, choice!.message, result] })
    expect(server.last.json.messages).toEqual([
      question,
      { role: 'assistant', content: [thinking, use] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: '15 degrees' }] },
    ])
  })

  test('that is cut before its stop is an error and no answer', async () => {
    server.answer = (_seen, response) => send(response, events(true), 200, { 'content-type': 'text/event-stream' })
    await expect(routed().invoke('default', { message: 'Hi' })).rejects.toThrow('without a finish reason')
  })
})
