import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { CompletionRouter, EmbeddingRouter } from '..'
import { caught, collected } from './support/caught'
import {
  type Answer,
  TestServer,
  beginEvents,
  chat,
  event,
  inTurn,
  piece,
  send,
  sendEvents,
  status,
} from './support/server'

let server: TestServer

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

function routed(): CompletionRouter {
  const router = new CompletionRouter({ cache: {}, retry: { maxRetries: 0, cooldownMs: 1 } })
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
  return router.deploy('default', 'local::m')
}

/** A whole answer with this first choice. */
const choice = (message: object, finish_reason: string | null): Answer =>
  status(200, chat('', { choices: [{ index: 0, message: { role: 'assistant', ...message }, finish_reason }] }))

const calling = (text: string) => ({
  content: null,
  tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'f', arguments: text } }],
})

const good = chat('the good answer')

describe('what is not a complete, successful answer is never kept', () => {
  const whole: [string, Answer][] = [
    ['an error', status(500, { error: { message: 'down' } })],
    ['a refusal', status(400, { error: { message: 'no' } })],
    ['an error in the clothes of success', status(200, { error: { message: 'overloaded', code: 529 } })],
    ['an answer without a finish reason', choice({ content: 'half' }, null)],
    ['an answer that a filter stopped', choice({ content: 'half' }, 'content_filter')],
    ['an answer that stopped for reasons that nobody knows', choice({ content: 'half' }, 'mystery')],
    ['a tool call whose arguments do not parse', choice(calling('{"city": "Bo'), 'tool_calls')],
    ['an answer without choices', status(200, { object: 'chat.completion', choices: [] })],
    ['an answer that is no JSON', status(200, '<html>busy</html>', { 'content-type': 'text/html' })],
    [
      'an answer that is cut off',
      (_seen, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 })
        response.write(JSON.stringify(good).slice(0, 100), () => response.destroy())
      },
    ],
  ]
  test.each(whole)('%s', async (_name, bad) => {
    server.answer = inTurn(bad, (_seen, response) => send(response, good))
    const router = routed()
    await router.invoke('default', { message: 'hi' }).catch(() => undefined)
    expect(router.stats().cache).toMatchObject({ entries: 0 })
    // The deployment may rest after a failure; the call waits for it.
    expect(await router.invoke('default', { message: 'hi' })).toMatchObject({
      content: 'the good answer',
      cache: 'miss',
    })
    expect(await router.invoke('default', { message: 'hi' })).toMatchObject({ cache: 'memory' })
    expect(server.seen).toHaveLength(2)
  })

  const half = [piece({ content: 'half an ' }), piece({ content: 'answer' })]
  const streams: [string, Answer][] = [
    ['that ends without a finish reason', (_seen, response) => sendEvents(response, [...half, '[DONE]'])],
    [
      'that a filter stopped',
      (_seen, response) => sendEvents(response, [...half, piece({}, 'content_filter'), '[DONE]']),
    ],
    ['with an error in it', (_seen, response) => sendEvents(response, [...half, { error: { message: 'overloaded' } }])],
    ['with an event that is no JSON', (_seen, response) => sendEvents(response, [...half, '{"choices":[{'])],
    [
      'that is cut',
      async (_seen, response) => {
        beginEvents(response)
        for (const data of half) await event(response, data)
        response.destroy()
      },
    ],
    [
      'whose tool call is not whole',
      (_seen, response) => {
        const call = { index: 0, id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"city": "Bo' } }
        return sendEvents(response, [piece({ tool_calls: [call] }), piece({}, 'tool_calls'), '[DONE]'])
      },
    ],
  ]
  test.each(streams)('a stream %s', async (_name, bad) => {
    server.answer = inTurn(bad, (_seen, response) => send(response, good))
    const router = routed()
    await collected(router.stream('default', { message: 'hi' })).catch(() => undefined)
    expect(router.stats().cache).toMatchObject({ entries: 0 })
    expect(await router.invoke('default', { message: 'hi' })).toMatchObject({
      content: 'the good answer',
      cache: 'miss',
    })
    expect(server.seen).toHaveLength(2)
  })

  test('a stream whose reader left', async () => {
    server.answer = async (_seen, response) => {
      beginEvents(response)
      await event(response, half[0])
    }
    const router = routed()
    const reading = router.stream('default', { message: 'hi' })[Symbol.asyncIterator]()
    await reading.next()
    await reading.return?.()
    await server.last.closed
    expect(router.stats()).toMatchObject({ inFlight: 0, cache: { entries: 0 } })
  })

  test('vectors of the wrong number', async () => {
    const vectors = (count: number) => ({
      data: Array.from({ length: count }, (_, index) => ({ index, embedding: [1] })),
    })
    server.answer = inTurn(status(200, vectors(1)), status(200, vectors(2)))
    const router = new EmbeddingRouter({ cache: {}, retry: { maxRetries: 0 } })
    router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
    router.deploy('default', 'local::e')
    expect(await caught(router.invoke('default', { input: ['a', 'b'] }))).toMatchObject({ code: 'ERR_PROVIDER' })
    expect(router.stats().cache).toMatchObject({ entries: 0 })
    expect(await router.invoke('default', { input: ['a', 'b'] })).toMatchObject({ cache: 'miss' })
  })
})

describe('a kept answer', () => {
  test('that was streamed comes again in the very pieces in which it came, and whole', async () => {
    const deltas = ['W', 'ei', 'ß', ' — ', 'Grün\n\n', '🙂', ' and so on, in one long piece of many words']
    const call = (index: number, more: object) => piece({ tool_calls: [{ index, ...more }] })
    server.answer = (_seen, response) =>
      sendEvents(response, [
        piece({ role: 'assistant', content: '' }),
        piece({ reasoning_content: 'Let me' }),
        piece({ reasoning_content: ' think.' }),
        ...deltas.map((content) => piece({ content })),
        call(0, { id: 'call_1', type: 'function', function: { name: 'f', arguments: '' } }),
        call(0, { function: { arguments: '{"a":' } }),
        call(1, { id: 'call_2', type: 'function', function: { name: 'g', arguments: '{}' } }),
        call(0, { function: { arguments: '1}' } }),
        piece({}, 'tool_calls'),
        '[DONE]',
      ])
    const router = routed()
    const came = await collected(router.stream('default', { message: 'hi' }))
    expect(came).toHaveLength(2 + deltas.length + 4)
    const again = router.stream('default', { message: 'hi' })
    expect(await collected(again)).toEqual(came)
    expect(await again.completion()).toMatchObject({ cache: 'memory', attempts: [] })
    const whole = await router.invoke('default', { message: 'hi' })
    expect(whole).toMatchObject({ cache: 'memory', content: deltas.join('') })
    expect(whole.toolCalls.map(({ arguments: text }) => text)).toEqual(['{"a":1}', '{}'])
    expect(server.seen).toHaveLength(1)
  })

  test('that came whole is streamed in pieces of a few words', async () => {
    server.answer = (_seen, response) => send(response, chat('one two three four five six seven'))
    const router = routed()
    await router.invoke('default', { message: 'hi' })
    const chunks = await collected(router.stream('default', { message: 'hi' }))
    expect(chunks.map((chunk) => 'delta' in chunk && chunk.delta)).toEqual([
      'one two three ',
      'four five six ',
      'seven',
    ])
    expect(server.seen).toHaveLength(1)
  })
})
