import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { toFetch } from 'thryd/fetch'

import { chat, events, post, refused, untilItBreaks } from '../support/gateway'
import { TestServer, beginEvents, event, inTurn, piece, send, sendEvents, status } from '../support/server'
import { streamingFrom } from '../support/streams'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
})
afterEach(() => server.reset())
afterAll(() => server.close())

const STREAM = { stream: true }
const USAGE = '{"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'

/** Events as thryd would never write them: two choices, and fields that nobody knows. */
const ODD = [
  '{"id":"c", "model":"m-2026","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"x_big":12345678901234567890}',
  '{"id":"c","choices":[{"index":1,"delta":{"role":"assistant","content":"ho"},"logprobs":{"content":[{"token":"ho","logprob":-1.10}]}}]}',
  '{"id":"c","choices":[{"index":0,"delta":{"content":"hi \\u00e9","annotations":[{"type":"url_citation"}]}}],"obfuscation":"xx"}',
  '{"id":"c","choices":[{"index":0,"delta":{"refusal":"no"}}]}',
  '{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"citations":["a"]}',
  '{"id":"c","choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}',
]

describe('a stream', () => {
  test("is the provider's own events, byte for byte, and [DONE]", async () => {
    server.answer = (_seen, response) => sendEvents(response, [...ODD, USAGE, '[DONE]'])
    const response = await chat(toFetch({ completion: streamingFrom(server) }), 'hi', { ...STREAM, n: 2 })
    expect(await events(response)).toEqual([...ODD, '[DONE]'])
    expect(response.headers.get('x-thryd-deployment')).toBe('local::m')
    expect([response.headers.get('x-thryd-cache'), response.headers.get('x-thryd-attempts')]).toEqual(['off', '1'])
    expect(server.last.json).toMatchObject({ stream: true, n: 2, stream_options: { include_usage: true } })
  })

  test('says what it took to those who ask, and to nobody else', async () => {
    server.answer = (_seen, response) =>
      sendEvents(response, [piece({ content: 'hi' }), piece({}, 'stop'), USAGE, '[DONE]'])
    const handler = toFetch({ completion: streamingFrom(server) })
    const asked = await events(await chat(handler, 'hi', { ...STREAM, stream_options: { include_usage: true } }))
    expect(asked.slice(2)).toEqual([USAGE, '[DONE]'])
    const [, , ...rest] = await events(await chat(handler, 'hi', { ...STREAM, stream_options: {} }))
    expect(rest).toEqual(['[DONE]'])
  })

  test('says what was counted here, where the provider says nothing', async () => {
    server.answer = (_seen, response) =>
      sendEvents(response, [piece({ content: 'one two' }), piece({}, 'stop'), '[DONE]'])
    const handler = toFetch({ completion: streamingFrom(server) })
    const told = await events(await chat(handler, 'hi', { ...STREAM, stream_options: { include_usage: true } }))
    expect(JSON.parse(told.at(-2) ?? '')).toMatchObject({
      id: 'chatcmpl-1',
      model: 'served-model',
      choices: [],
      usage: { completion_tokens: 2, estimated: true },
    })
    expect(told.length).toBe(4)
  })

  test('leaves usage where a provider says it beside the end', async () => {
    const end = { ...piece({}, 'stop'), usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } }
    server.answer = (_seen, response) => sendEvents(response, [piece({ content: 'hi' }), end, '[DONE]'])
    const handler = toFetch({ completion: streamingFrom(server) })
    const told = await events(await chat(handler, 'hi', { ...STREAM, stream_options: { include_usage: true } }))
    expect(told.slice(1)).toEqual([JSON.stringify(end), '[DONE]'])
  })

  test('of a kept answer has every choice and field, in the pieces that it came in', async () => {
    server.answer = (_seen, response) =>
      sendEvents(response, [
        piece({ role: 'assistant', content: '' }),
        piece({ content: 'one ' }),
        piece({ content: 'two' }),
        { ...piece({}, 'stop'), citations: ['a'] },
        USAGE,
        '[DONE]',
      ])
    const handler = toFetch({ completion: streamingFrom(server, ['local::m'], {}) })
    const more = { ...STREAM, stream_options: { include_usage: true } }
    await events(await chat(handler, 'hi', more))
    const response = await chat(handler, 'hi', more)
    expect(response.headers.get('x-thryd-cache')).toBe('memory')
    expect(response.headers.get('x-thryd-attempts')).toBe('0')
    const told = await events(response)
    expect(told.at(-1)).toBe('[DONE]')
    const parsed = told.slice(0, -1).map((data) => JSON.parse(data) as Record<string, unknown>)
    const deltas = parsed.flatMap(({ choices }) => choices as { delta: object; finish_reason: unknown }[])
    expect(deltas.map(({ delta }) => delta)).toEqual([
      { role: 'assistant' },
      { content: 'one ' },
      { content: 'two' },
      {},
    ])
    expect(deltas.at(-1)?.finish_reason).toBe('stop')
    expect(parsed[0]?.['citations']).toEqual(['a'])
    expect(parsed.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 3 } })
    expect(server.seen.length).toBe(1)
  })

  test('of a provider that answers at once is a stream all the same', async () => {
    const message = {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 't', type: 'custom', custom: { name: 'f' } }],
    }
    const choices = [{ index: 0, message, logprobs: { content: [] }, finish_reason: 'tool_calls' }]
    server.answer = (_seen, response) => send(response, { id: 'c', choices })
    const told = await events(await chat(toFetch({ completion: streamingFrom(server) }), 'hi', STREAM))
    const shown = told.slice(0, -1).flatMap((data) => (JSON.parse(data) as { choices: object[] }).choices)
    expect(shown).toEqual([
      { index: 0, delta: { role: 'assistant' }, finish_reason: null },
      { index: 0, delta: { tool_calls: [{ ...message.tool_calls[0], index: 0 }] }, finish_reason: null },
      { index: 0, delta: {}, logprobs: { content: [] }, finish_reason: 'tool_calls' },
    ])
  })

  test('is one with an equal one, and says so', async () => {
    const handler = toFetch({ completion: streamingFrom(server) })
    const [first, second] = await Promise.all([chat(handler, 'a b', STREAM), chat(handler, 'a b', STREAM)])
    expect(await events(second)).toEqual(await events(first))
    expect([first, second].map(({ headers }) => headers.get('x-thryd-cache'))).toEqual(['off', 'joined'])
    expect(server.seen.length).toBe(1)
  })

  test('is not one with a router’s own stream of the same request, which reads it otherwise', async () => {
    const router = streamingFrom(server)
    const own = router.stream('default', { messages: [{ role: 'user', content: 'a b' }] }).completion()
    const told = await events(await chat(toFetch({ completion: router }), 'a b', STREAM))
    expect((await own).content).toBe('a b')
    expect(told.length).toBe(4)
    expect(server.seen.length).toBe(2)
  })
})

describe('a stream that fails', () => {
  test('before it has said anything is given by another deployment', async () => {
    server.answer = inTurn(
      async (_seen, response) => {
        beginEvents(response)
        await event(response, piece({ role: 'assistant', content: '' }))
        response.destroy()
      },
      (_seen, response) => sendEvents(response, [piece({ content: 'hi' }), piece({}, 'stop'), '[DONE]']),
    )
    const response = await chat(toFetch({ completion: streamingFrom(server, ['local::a', 'local::b']) }), 'hi', STREAM)
    expect((await events(response))[0]).toBe(JSON.stringify(piece({ content: 'hi' })))
    expect(response.headers.get('x-thryd-deployment')).toMatch(/^local::[ab]$/)
    expect(response.headers.get('x-thryd-attempts')).toBe('2')
  })

  test('before it has said anything is a status', async () => {
    server.answer = status(400, { error: { message: 'no such tool' } })
    const response = await chat(toFetch({ completion: streamingFrom(server) }), 'hi', STREAM)
    expect(await refused(response)).toMatchObject({ status: 400, message: 'no such tool' })
  })

  test('after that ends with an event that says so, then an error, and never with [DONE]', async () => {
    server.answer = async (_seen, response) => {
      beginEvents(response)
      await event(response, piece({ content: 'hi' }))
      response.destroy()
    }
    const response = await chat(toFetch({ completion: streamingFrom(server) }), 'hi', STREAM)
    const { data, error } = await untilItBreaks(response)
    expect(data[0]).toBe(JSON.stringify(piece({ content: 'hi' })))
    expect(JSON.parse(data[1] ?? '')).toEqual({
      error: {
        message: expect.stringMatching(/^local::m: the stream ended early, after 2 characters/) as string,
        type: 'server_error',
        param: null,
        code: 'stream_interrupted',
      },
    })
    expect(data.length).toBe(2)
    expect(error).toMatchObject({ code: 'ERR_INTERRUPTED', delivered: 'hi' })
  })

  test('in its reading is not read ahead of a reader who pauses', async () => {
    let sent = 0
    server.answer = async (_seen, response) => {
      beginEvents(response)
      const large = piece({ content: 'x'.repeat(64 * 1024) })
      while (!response.destroyed && sent < 4096) {
        await event(response, large)
        sent += 1
      }
    }
    const response = await chat(toFetch({ completion: streamingFrom(server) }), 'hi', STREAM)
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    await reader.read()
    // The kernel's buffers and 256 KiB fill up; then nothing moves any more.
    let before = -1
    while (before !== sent) {
      before = sent
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    expect(sent).toBeLessThan(256)
    await reader.read()
    await reader.cancel()
    await server.last.closed
  })
})

test('a chat that is to be streamed is no stream of embeddings', async () => {
  const response = await post(toFetch({ completion: streamingFrom(server) }), '/embeddings', {
    model: 'default',
    input: 'a',
  })
  expect((await refused(response)).status).toBe(404)
})
