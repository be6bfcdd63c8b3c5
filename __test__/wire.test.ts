import { readFileSync } from 'node:fs'
import { once } from 'node:events'

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import type { CompletionChunk, CompletionRequest } from '..'
import { collected } from './support/caught'
import { TestServer, beginEvents, event, piece, send, sendEvents } from './support/server'
import { streamingFrom, text } from './support/streams'

/** The bodies that `tests/wire.rs` sends through the core: what is documented, and what is not. */
const fixture = (name: string): string =>
  readFileSync(new URL(`../tests/fixtures/wire/${name}`, import.meta.url), 'utf8').trimEnd()
const request = JSON.parse(fixture('request.json')) as CompletionRequest
const events = fixture('stream.jsonl').split('\n')

let server: TestServer

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

const calls = [
  { id: 'call_1', name: 'weather', arguments: '{"city": "Bonn"}' },
  { id: 'call_2', name: 'code', arguments: 'x = 1' },
]
const usage = { promptTokens: 11, completionTokens: 7, totalTokens: 18, cachedPromptTokens: 4, reasoningTokens: 2 }

describe('everything that a chat carries', () => {
  test('reaches the provider as it was written, and comes back as it was said', async () => {
    server.answer = (_seen, response) => send(response, fixture('answer.json'))
    const answer = await streamingFrom(server).invoke('default', request)
    expect(server.last.text).toBe(JSON.stringify({ model: 'm', ...request }))
    expect(answer.raw).toEqual(JSON.parse(fixture('answer.json')))
    expect(answer).toMatchObject({ content: 'x é 😀', toolCalls: calls, finishReason: 'tool_calls', usage })
  })

  test('goes through a stream, which holds at its end all that its events said', async () => {
    server.answer = (_seen, response) => sendEvents(response, [...events, '[DONE]'])
    const stream = streamingFrom(server).stream('default', {
      ...request,
      stream_options: { include_obfuscation: false, include_usage: false },
    })
    const chunks = await collected(stream)
    expect(server.last.json).toEqual({
      model: 'm',
      ...request,
      stream: true,
      stream_options: { include_obfuscation: false, include_usage: true },
    })
    expect(text(chunks)).toBe('x é 😀')
    const answer = await stream.completion()
    expect(answer.raw).toEqual(JSON.parse(fixture('assembled.json')))
    expect(answer).toMatchObject({ content: 'x é 😀', toolCalls: calls, finishReason: 'tool_calls', usage })
    const pieces = chunks.flatMap((chunk) => (chunk.type === 'tool-call' ? [chunk] : []))
    for (const [index, { id, name, arguments: whole }] of calls.entries()) {
      const own = pieces.filter((each) => each.index === index)
      expect(own[0]).toMatchObject({ id, name })
      expect(own.map((each) => each.arguments).join('')).toBe(whole)
    }
  })
})

describe('a reader who pauses', () => {
  test('holds up the provider, and loses nothing', async () => {
    // As long as an answer may be, and far more than all that lies between the two.
    const [size, count] = [1000, 15_000]
    let sent = 0
    server.answer = async (_seen, response) => {
      beginEvents(response)
      const closed = once(response, 'close')
      for (; sent < count; sent += 1) {
        if (!response.write(`data: ${JSON.stringify(piece({ content: 'x'.repeat(size) }))}\n\n`))
          await Promise.race([once(response, 'drain'), closed])
        if (response.destroyed) return
      }
      // With its usage, so that nobody has to count the tokens of it all.
      await event(response, { ...piece({}, 'stop'), usage: { prompt_tokens: 1, completion_tokens: count } })
      response.end()
    }
    const chunks = streamingFrom(server).stream('default', { message: 'Hi' })[Symbol.asyncIterator]()
    const first = (await chunks.next()) as IteratorYieldResult<CompletionChunk>
    let before = -1
    // Real sockets: nobody says when they are full.
    while (before < sent) {
      before = sent
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
    expect(sent).toBeLessThan(count)
    let read = text([first.value]).length
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next())
      read += text([next.value]).length
    expect(read).toBe(size * count)
  })
})
