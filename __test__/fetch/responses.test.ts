import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { CompletionRouter, ResponsesRouter } from 'thryd'
import { toFetch } from 'thryd/fetch'

import { BASE, post, refused } from '../support/gateway'
import { named, respondingFrom, said, told } from '../support/responses'
import { TestServer, beginEvents, event, inTurn, send, sendEvents, status } from '../support/server'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
})
afterEach(() => server.reset())
afterAll(() => server.close())

const handlerOf = (deployments?: string[], cache?: object) =>
  toFetch({ responses: respondingFrom(server, deployments, cache) })
const ask = (handler: ReturnType<typeof toFetch>, more: object = {}, init = {}) =>
  post(handler, '/responses', { model: 'default', input: 'hi', ...more }, init)

/** What a stream said until it broke, and what it broke with. */
async function untilItBreaks(response: Response): Promise<{ text: string; error: unknown }> {
  let text = ''
  const decoder = new TextDecoder()
  try {
    for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>)
      text += decoder.decode(bytes, { stream: true })
  } catch (error) {
    return { text, error }
  }
  return { text, error: undefined }
}

describe('a whole answer', () => {
  test('is the provider’s own, byte for byte, with who gave it', async () => {
    const body = `{"id":"resp_1", "status":"completed","output":[],"x_big":12345678901234567890,"usage":{"input_tokens":1}}`
    server.answer = (_seen, response) => response.setHeader('content-type', 'application/json').end(body)
    const response = await ask(handlerOf(), { instructions: 'x', previous_response_id: 'resp_0', x: [1.1] })
    expect(await response.text()).toBe(body)
    expect(response.headers.get('x-thryd-deployment')).toBe('local::m')
    expect(server.last.json).toEqual({
      model: 'm',
      input: 'hi',
      instructions: 'x',
      previous_response_id: 'resp_0',
      x: [1.1],
    })
    expect(JSON.stringify(server.last.headers)).not.toContain('client-key')
  })

  test('says what was counted here, where the provider says nothing', async () => {
    server.answer = (_seen, response) => send(response, said('one two', { usage: null }))
    const { usage } = (await (await ask(handlerOf())).json()) as { usage: object }
    expect(usage).toMatchObject({ output_tokens: 2, output_tokens_details: { reasoning_tokens: 0 }, estimated: true })
  })

  test('is refused in OpenAI’s shape', async () => {
    const handler = handlerOf()
    expect(await refused(await ask(handler, { background: true }))).toMatchObject({ status: 400, param: 'background' })
    expect(await refused(await ask(handler, { input: [5] }))).toMatchObject({ status: 400, param: 'input[0]' })
    expect(await refused(await ask(handler, { model: 'nowhere' }))).toMatchObject({
      status: 404,
      code: 'model_not_found',
    })
    expect(server.seen.length).toBe(0)
    server.answer = status(503, { error: { message: 'down' } })
    expect(await refused(await ask(handler, { stream: true }))).toMatchObject({ status: 502 })
  })

  test.each([
    ['GET', ''],
    ['DELETE', ''],
    ['POST', '/cancel'],
    ['GET', '/input_items'],
  ])('is not fetched from here: %s /v1/responses/resp_1%s', async (method, below) => {
    const refusal = await refused(await handlerOf()(`${BASE}/responses/resp_1${below}`, { method }))
    expect(refusal).toMatchObject({ status: 404, message: expect.stringContaining('not fetched from here') as string })
  })

  test('has no place without a router of its own', async () => {
    const completion = new ResponsesRouter()
    // @ts-expect-error: a router of another kind
    expect(() => toFetch({ completion })).toThrow(/completion: expected a CompletionRouter/)
    const chats = toFetch({ completion: new CompletionRouter() })
    expect(await refused(await ask(chats))).toMatchObject({ status: 404, code: 'unknown_url' })
    expect((await handlerOf()(`${BASE}/responses`, { method: 'GET' })).status).toBe(405)
  })
})

describe('a stream', () => {
  test('is the provider’s own events, each named by its type', async () => {
    const events = told(['one ', 'two'], { x_big: '1' }).map((each) => JSON.stringify(each))
    events.splice(4, 0, '{"type":"response.x_new", "sequence_number":4,"n":12345678901234567890}')
    server.answer = (_seen, response) => sendEvents(response, events)
    const response = await ask(handlerOf(), { stream: true })
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    const text = await response.text()
    const lines = events.map((data) => `event: ${(JSON.parse(data) as { type: string }).type}\ndata: ${data}\n\n`)
    expect(text).toBe(lines.join(''))
  })

  test('of a kept answer, and of one that came whole, has all events, numbered', async () => {
    server.answer = (_seen, response) => send(response, said('one two three four'))
    const handler = handlerOf(['local::m'], {})
    for (const cache of ['miss', 'memory']) {
      const response = await ask(handler, { stream: true })
      expect(response.headers.get('x-thryd-cache')).toBe(cache)
      const events = named(await response.text())
      expect(events.map(({ data }) => data['sequence_number'])).toEqual(events.map((_, place) => place))
      expect(events.map(({ name }) => name)).toEqual([
        'response.created',
        'response.in_progress',
        'response.output_item.added',
        'response.content_part.added',
        'response.output_text.delta',
        'response.output_text.delta',
        'response.output_text.done',
        'response.content_part.done',
        'response.output_item.done',
        'response.completed',
      ])
      expect(events.every(({ name, data }) => data['type'] === name)).toBe(true)
      expect(events.at(-1)?.data['response']).toEqual(said('one two three four'))
    }
    expect(server.seen.length).toBe(1)
  })

  test('says at its end what was counted here, where the provider says nothing', async () => {
    server.answer = (_seen, response) => sendEvents(response, told(['one ', 'two'], { usage: null }))
    const last = named(await (await ask(handlerOf(), { stream: true })).text()).at(-1)
    expect(last?.data['response']).toMatchObject({ usage: { output_tokens: 2, estimated: true }, status: 'completed' })
  })

  test.each([
    ['an empty output', { output: [] }],
    ['no output', { output: undefined }],
    ['no response', undefined],
  ])('whose last event has %s ends with what the cache has', async (_, hollow) => {
    const events = told(['one ', 'two'])
    const last = events.at(-1) ?? {}
    last['response'] = hollow && { ...(last['response'] as object), ...hollow }
    server.answer = (_seen, response) => sendEvents(response, events)
    const handler = handlerOf(['local::m'], {})
    const live = named(await (await ask(handler, { stream: true })).text())
    expect(live.slice(0, -1).map(({ data }) => data)).toEqual(events.slice(0, -1))
    const kept = await ask(handler)
    expect(kept.headers.get('x-thryd-cache')).toBe('memory')
    expect(live.at(-1)?.data).toEqual({ ...last, response: await kept.json() })
    expect(live.at(-1)?.data['response']).toMatchObject({ id: 'resp_1', output: said('one two')['output'] })
  })

  test.each(['cut', 'end', 'failed'])('that breaks ends with an error, never cleanly: %s', async (how) => {
    server.answer = async (_seen, response) => {
      beginEvents(response)
      for (const each of told(['one ', 'two']).slice(0, 5)) await event(response, each)
      await new Promise((resolve) => setTimeout(resolve, 20))
      const error = { code: 'server_error', message: 'it broke' }
      if (how === 'failed')
        await event(response, { type: 'response.failed', response: said('', { status: 'failed', error }) })
      if (how === 'cut') response.destroy()
      else response.end()
    }
    const { text, error } = await untilItBreaks(await ask(handlerOf(), { stream: true }))
    expect(error).toBeInstanceOf(Error)
    const events = named(text)
    expect(events.slice(0, 5).map(({ data }) => data)).toEqual(told(['one ', 'two']).slice(0, 5))
    const last = events.at(-1)
    expect(last?.name).toBe('error')
    expect(last?.data).toMatchObject({ type: 'error', code: 'stream_interrupted', sequence_number: 5 })
    expect(last?.data['error']).toMatchObject({ code: 'stream_interrupted', message: last?.data['message'] })
    expect(text).not.toContain('response.completed')
  })

  test('fails over unseen before its first word', async () => {
    const error = { code: 'rate_limit_exceeded', message: 'slow down' }
    server.answer = inTurn(
      (_seen, response) =>
        sendEvents(response, [...told(['one']).slice(0, 4), { type: 'error', ...error, param: null }]),
      (_seen, response) => sendEvents(response, told(['mine'])),
    )
    const response = await ask(handlerOf(['local::a', 'local::b']), { stream: true })
    expect(response.headers.get('x-thryd-attempts')).toBe('2')
    expect(named(await response.text()).at(-1)?.data['response']).toEqual(said('mine'))
  })

  test('that is aborted closes the provider’s socket', async () => {
    server.answer = async (_seen, response) => {
      beginEvents(response)
      for (const each of told(['one ', 'two']).slice(0, 5)) await event(response, each)
    }
    const controller = new AbortController()
    const response = await ask(handlerOf(), { stream: true }, { signal: controller.signal })
    const broken = untilItBreaks(response)
    controller.abort(new Error('enough'))
    expect((await broken).error).toMatchObject({ message: 'enough' })
    await server.last.closed
  })
})
