import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'

import { type CompletionChunk, type InterruptedError } from '..'
import { caught, collected } from './support/caught'
import { SOON } from './support/idle'
import { TestServer, beginEvents, event, inTurn, piece, sendEvents, status } from './support/server'
import { streamingFrom, text } from './support/streams'
import { expectClosed } from './support/tries'

let server: TestServer

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

const routed = (deployments?: string[], cache?: object) => streamingFrom(server, deployments, cache)

describe('a stream', () => {
  test('asks for events and their usage, and gives what they say', async () => {
    const stream = routed().stream('default', { message: 'one two three' })
    expect(server.seen).toHaveLength(0)
    const chunks = await collected(stream)
    expect(chunks).toEqual(['one ', 'two ', 'three'].map((delta) => ({ type: 'content', delta })))
    expect(server.last.json).toMatchObject({ stream: true, stream_options: { include_usage: true } })
    const whole = await stream.completion()
    expect(whole).toMatchObject({ content: 'one two three', finishReason: 'stop', deployment: 'local::m' })
    expect(whole.usage).toEqual({ promptTokens: 3, completionTokens: 2, totalTokens: 5 })
    expect(whole.attempts).toMatchObject([{ outcome: 'ok' }])
    expect(whole.raw).toMatchObject({ object: 'chat.completion', model: 'served-model' })
  })

  test('has chunks of every type, in order', async () => {
    const call = (index: number, more: object) => piece({ tool_calls: [{ index, ...more }] })
    server.answer = (_seen, response) =>
      sendEvents(response, [
        piece({ role: 'assistant', content: '' }),
        piece({ reasoning_content: 'Hm' }),
        piece({ content: 'Let me see.' }),
        call(0, { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '' } }),
        call(0, { function: { arguments: '{"city":' } }),
        call(0, { function: { arguments: '"Bonn"}' } }),
        call(1, { id: 'call_2', type: 'function', function: { name: 'time', arguments: '{}' } }),
        piece({}, 'tool_calls'),
        '[DONE]',
      ])
    const stream = routed().stream('default', { message: 'Hi' })
    const chunks = await collected(stream)
    expect(chunks.slice(0, 2)).toEqual([
      { type: 'reasoning', delta: 'Hm' },
      { type: 'content', delta: 'Let me see.' },
    ])
    const calls = chunks.flatMap((chunk) => (chunk.type === 'tool-call' ? [chunk] : []))
    expect(calls).toHaveLength(chunks.length - 2)
    expect(calls.find(({ index }) => index === 0)).toMatchObject({ id: 'call_1', name: 'weather' })
    const pieces = calls.filter(({ index }) => index === 0).map((chunk) => chunk.arguments)
    expect(pieces.join('')).toBe('{"city":"Bonn"}')
    const whole = await stream.completion()
    expect(whole.finishReason).toBe('tool_calls')
    expect(whole.toolCalls).toEqual([
      { id: 'call_1', name: 'weather', arguments: '{"city":"Bonn"}' },
      { id: 'call_2', name: 'time', arguments: '{}' },
    ])
  })

  test('shows each chunk before the next one is sent', async () => {
    let ask = (): void => undefined
    server.answer = async (_seen, response) => {
      beginEvents(response)
      for (const word of ['a', 'b', 'c']) {
        await event(response, piece({ content: word }))
        await new Promise<void>((resolve) => (ask = resolve))
      }
      await event(response, piece({}, 'stop'))
      response.end()
    }
    const seen = []
    for await (const chunk of routed().stream('default', { message: 'Hi' })) {
      seen.push(chunk)
      ask()
    }
    expect(text(seen as CompletionChunk[])).toBe('abc')
  })

  test('may be cut anywhere, in the middle of a letter too', async () => {
    const bytes = Buffer.from(
      `: hello\r\n\r\ndata: ${JSON.stringify(piece({ content: 'Grüße €' }))}\r\n\r\ndata:${JSON.stringify(piece({}, 'stop'))}\n\n`,
    )
    server.answer = async (_seen, response) => {
      beginEvents(response)
      for (const byte of bytes) await new Promise((resolve) => response.write(Buffer.from([byte]), resolve))
      response.end()
    }
    const stream = routed().stream('default', { message: 'Hi' })
    expect(text(await collected(stream))).toBe('Grüße €')
    expect((await stream.completion()).content).toBe('Grüße €')
  })

  test('fails over unseen before its first chunk', async () => {
    server.answer = inTurn(status(503, { error: { message: 'down' } }), (_seen, response) =>
      sendEvents(response, [piece({ content: 'Hello' }), piece({}, 'stop')]),
    )
    const stream = routed().stream('default', { message: 'Hi' })
    expect(text(await collected(stream))).toBe('Hello')
    expect((await stream.completion()).attempts).toMatchObject([{ status: 503 }, { outcome: 'ok' }])
  })

  test('that ended is cached, and comes again in chunks, or whole', async () => {
    const router = routed(['local::m'], {})
    await collected(router.stream('default', { message: 'one two' }))
    const again = router.stream('default', { message: 'one two' })
    expect(text(await collected(again))).toBe('one two')
    expect((await again.completion()).cache).toBe('memory')
    const whole = await router.invoke('default', { message: 'one two' })
    expect(whole).toMatchObject({ cache: 'memory', content: 'one two' })
    expect(server.seen).toHaveLength(1)
  })

  test('is one that a provider answers whole', async () => {
    server.answer = status(200, {
      model: 'served-model',
      choices: [{ index: 0, message: { role: 'assistant', content: 'at once' }, finish_reason: 'stop' }],
    })
    expect(text(await collected(routed().stream('default', { message: 'Hi' })))).toBe('at once')
  })
})

describe('a reader who leaves', () => {
  test('closes the socket at once', async () => {
    server.answer = async (_seen, response) => {
      beginEvents(response)
      await event(response, piece({ content: 'Hel' }))
    }
    await expectClosed(async () => {
      const router = routed()
      let leftAt = 0
      for await (const chunk of router.stream('default', { message: 'Hi' })) {
        expect(chunk).toEqual({ type: 'content', delta: 'Hel' })
        leftAt = performance.now()
        break
      }
      await server.last.closed
      const closedMs = performance.now() - leftAt
      await vi.waitFor(() => expect(router.stats()).toMatchObject({ inFlight: 0, waiting: 0 }), SOON)
      return closedMs
    })
  })
})

describe('a stream that ends too early', () => {
  const early = async (_seen: unknown, response: Parameters<typeof beginEvents>[0]): Promise<void> => {
    beginEvents(response)
    for (const word of ['Hel', 'lo']) await event(response, piece({ content: word }))
    response.end()
  }
  const broken = async (_seen: unknown, response: Parameters<typeof beginEvents>[0]): Promise<void> => {
    beginEvents(response)
    await event(response, piece({ content: 'Hello' }))
    response.destroy()
  }
  const good = (_seen: unknown, response: Parameters<typeof beginEvents>[0]) =>
    sendEvents(response, [piece({ content: 'Good ' }), piece({ content: 'day' }), piece({}, 'stop'), '[DONE]'])

  test.each([
    ['with no finish reason', early],
    ['with its socket', broken],
    [
      'with an error in its midst',
      (_seen: unknown, response: Parameters<typeof beginEvents>[0]) =>
        sendEvents(response, [piece({ content: 'Hello' }), { error: { message: 'overloaded', code: 503 } }]),
    ],
    [
      'with what is no JSON',
      (_seen: unknown, response: Parameters<typeof beginEvents>[0]) =>
        sendEvents(response, [piece({ content: 'Hello' }), '{"choices":[']),
    ],
  ])('%s is an error that knows what was read', async (_how, answer) => {
    server.answer = answer
    const stream = routed().stream('default', { message: 'Hi' })
    const read: CompletionChunk[] = []
    const failure = (await caught(
      (async () => {
        for await (const chunk of stream) read.push(chunk)
      })(),
    )) as unknown as InterruptedError
    expect(failure).toMatchObject({ name: 'InterruptedError', code: 'ERR_INTERRUPTED', delivered: 'Hello' })
    expect(text(read)).toBe('Hello')
    expect(failure.retryable).toBe(true)
    expect(failure.attempts).toHaveLength(1)
    expect(await caught(stream.completion())).toBe(failure)
    expect(server.seen).toHaveLength(1)
  })

  test('begins again elsewhere on request, and tells the reader', async () => {
    server.answer = (seen, response) => (seen.json['model'] === 'a' ? early : good)(seen, response)
    const stream = routed(['local::a', 'local::b']).stream(
      'default',
      { message: 'Hi' },
      {
        onInterrupt: 'restart',
      },
    )
    const chunks = await collected(stream)
    const at = chunks.findIndex(({ type }) => type === 'restart')
    expect(chunks[at]).toEqual({ type: 'restart', discarded: 'Hello', deployment: 'local::b' })
    expect(text(chunks.slice(0, at))).toBe('Hello')
    expect(text(chunks.slice(at))).toBe('Good day')
    const whole = await stream.completion()
    expect(whole).toMatchObject({ content: 'Good day', deployment: 'local::b' })
    expect(whole.attempts).toMatchObject([{ outcome: 'truncated' }, { outcome: 'ok' }])
  })

  test('is not seen if the answer is assembled first', async () => {
    server.answer = inTurn(early, good)
    const stream = routed().stream('default', { message: 'Hi' }, { buffer: true })
    const chunks = await collected(stream)
    expect(text(chunks)).toBe('Good day')
    expect(chunks.every(({ type }) => type === 'content')).toBe(true)
  })

  test('is never cached', async () => {
    server.answer = inTurn(early, good)
    const router = routed(['local::m'], {})
    await caught(collected(router.stream('default', { message: 'Hi' })))
    const answer = await router.stream('default', { message: 'Hi' }).completion()
    expect(answer).toMatchObject({ content: 'Good day', cache: 'miss' })
  })

  test('refused before its first chunk is the provider’s error', async () => {
    server.answer = status(400, { error: { message: 'no streams here' } })
    const failure = await caught(collected(routed().stream('default', { message: 'Hi' })))
    expect(failure).toMatchObject({ name: 'ProviderError', status: 400 })
  })
})
