import { inspect } from 'node:util'

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { type CustomProvider, type ModelResponse, ResponsesRouter } from '..'
import { caught, collected } from './support/caught'
import { respondingFrom, said, told } from './support/responses'
import { TestServer, beginEvents, event, inTurn, send, sendEvents, status } from './support/server'
import { text } from './support/streams'

let server: TestServer

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

const routed = (deployments?: string[], cache?: object) => respondingFrom(server, deployments, cache)

describe('a model response', () => {
  test('is what the provider said, and shows all but its raw self', async () => {
    server.answer = (_seen, response) => send(response, said('Hello there'))
    const answer = await routed().invoke('default', { input: 'Hi', instructions: 'be kind', x_more: 1 })
    expect(server.last.path).toBe('/v1/responses')
    expect(server.last.json).toEqual({ model: 'm', input: 'Hi', instructions: 'be kind', x_more: 1 })
    expect(answer).toMatchObject({ id: 'resp_1', outputText: 'Hello there', status: 'completed', toolCalls: [] })
    expect(answer.usage).toEqual({ promptTokens: 3, completionTokens: 2, totalTokens: 5 })
    expect(answer.raw).toEqual(said('Hello there'))
    expect(`${answer}`).toBe('Hello there')
    expect(inspect(answer)).toMatch(/^ModelResponse \{\n {2}id: 'resp_1',\n {2}outputText: 'Hello there',/)
    expect(Object.keys(JSON.parse(JSON.stringify(answer)) as object)).not.toContain('raw')
    expect('incompleteReason' in answer).toBe(false)
  })

  test('has its calls, and takes their results', async () => {
    const call = { type: 'function_call', id: 'fc_1', call_id: 'call_1', name: 'weather', arguments: '{"city":"Oslo"}' }
    server.answer = inTurn(
      (_seen, response) => send(response, said('', { output: [call] })),
      (_seen, response) => send(response, said('sunny')),
    )
    const router = routed()
    const tools = [{ type: 'function', name: 'weather', parameters: { type: 'object', properties: {} } }]
    const first = await router.invoke('default', { input: 'the weather?', tools })
    expect(first.toolCalls).toEqual([{ id: 'call_1', name: 'weather', arguments: '{"city":"Oslo"}' }])
    const output = { type: 'function_call_output', call_id: 'call_1', output: 'sunny in Oslo' }
    const input = [{ role: 'user', content: 'the weather?' }, call, output]
    expect((await router.invoke('default', { input, tools })).outputText).toBe('sunny')
    expect(server.last.json['input']).toEqual(input)
  })

  test('may be cut short, and says by what', async () => {
    const cut = { status: 'incomplete', incomplete_details: { reason: 'content_filter' } }
    server.answer = (_seen, response) => send(response, said('so f', cut))
    const router = routed(['local::m'], {})
    for (const _ of [1, 2]) {
      const answer = await router.invoke('default', { input: 'Hi' })
      expect(answer).toMatchObject({ status: 'incomplete', incompleteReason: 'content_filter', cache: 'miss' })
    }
  })

  test('that failed is none, and another deployment answers', async () => {
    const failed = said('', { status: 'failed', error: { code: 'server_error', message: 'it broke' }, output: [] })
    server.answer = ({ json }, response) => send(response, json['model'] === 'a' ? failed : said('mine'))
    const answer = await routed(['local::a', 'local::b']).invoke('default', { input: 'Hi' })
    expect(answer).toMatchObject({ outputText: 'mine', deployment: 'local::b' })
    expect(answer.attempts[0]).toMatchObject({ outcome: 'transient', message: 'it broke' })
  })

  test('is kept, shared and had in batches as a completion is', async () => {
    server.answer = ({ json }, response) => setTimeout(() => send(response, said(`on ${json['input'] as string}`)), 5)
    const router = routed(['local::m'], {})
    const both = await Promise.all([
      router.invoke('default', { input: 'tea', metadata: { a: '1' } }),
      router.invoke('default', { input: 'tea' }),
    ])
    expect(both.map(({ cache }) => cache).toSorted()).toEqual(['joined', 'miss'])
    const batch = await collected(
      router.invokeMany('default', [{ input: 'tea' }, { input: 'milk' }, { input: 5 as never }]),
    )
    expect(batch.map((item) => (item as ModelResponse).outputText ?? (item as Error).message)).toEqual([
      'on tea',
      'on milk',
      expect.stringMatching(/^request\.input: expected a string or an array of items/),
    ])
    expect(server.seen.length).toBe(2)
  })

  test('keeps to the limits of its deployment, and to its key', async () => {
    server.answer = status(401, { error: { message: 'no: sk-secret-1234567890abcdef' } })
    const router = new ResponsesRouter({ retry: { maxRetries: 0 } })
    const apiKey = 'sk-secret-1234567890abcdef'
    router.addProvider({ type: 'openai', name: 'local', baseUrl: server.url, apiKey })
    router.deploy('default', 'local::m', { rpm: 1, tpm: 500 })
    const large = await caught(router.invoke('default', { input: 'Hi', max_output_tokens: 1000 }))
    expect(large).toMatchObject({ code: 'ERR_TOO_LARGE' })
    const failed = await caught(router.invoke('default', { input: 'Hi', max_output_tokens: 10 }))
    expect(failed).toMatchObject({ code: 'ERR_PROVIDER', status: 401 })
    expect(inspect(failed, { depth: 9 }) + JSON.stringify(router.stats())).not.toContain('1234567890abcdef')
    expect(server.last.headers.authorization).toBe(`Bearer ${apiKey}`)
    const waiting = await caught(router.invoke('default', { input: 'Hi', max_output_tokens: 10 }, { queueMs: 0 }))
    expect(waiting).toMatchObject({ code: 'ERR_RATE_LIMITED' })
    expect(server.seen.length).toBe(1)
  })

  test.each([
    [{}, /^request\.input: expected/],
    [{ input: 'a', background: true }, /^request\.background: expected false or nothing.*cannot be fetched/],
    [{ input: 'a', max_output_tokens: Number.NaN }, /^request\.max_output_tokens: expected an integer.*got NaN/],
    [{ input: 'a', temperature: 5 }, /^request\.temperature/],
    [{ input: [{ role: 'user' }] }, /^request\.input\[0\]\.content/],
  ])('%j is refused before anything is sent', async (request, words) => {
    const error = await caught(routed().invoke('default', request as never))
    expect(error.message).toMatch(words)
    expect(server.seen.length).toBe(0)
  })
})

describe('a stream of it', () => {
  test('gives its text in pieces, and the answer at its end', async () => {
    server.answer = (_seen, response) => sendEvents(response, told(['one ', 'two ', 'three']))
    const stream = routed().stream('default', { input: 'Hi' })
    expect(server.seen.length).toBe(0)
    expect(await collected(stream)).toEqual(['one ', 'two ', 'three'].map((delta) => ({ type: 'content', delta })))
    expect(server.last.json).toEqual({ model: 'm', input: 'Hi', stream: true })
    expect(await stream.response()).toMatchObject({ outputText: 'one two three', usage: { totalTokens: 5 } })
    expect(inspect(stream)).toMatch(/^ResponsesStream/)
    expect(() => stream[Symbol.asyncIterator]()).toThrow(/^a ResponsesStream has one reader/)
    const whole = routed().stream('default', { input: 'Hi' })
    expect((await whole.response()).raw).toEqual(said('one two three'))
  })

  test('comes again from the cache, in its pieces', async () => {
    server.answer = (_seen, response) => sendEvents(response, told(['one ', 'two']))
    const router = routed(['local::m'], {})
    await router.stream('default', { input: 'Hi' }).response()
    const again = router.stream('default', { input: 'Hi' })
    expect(await collected(again)).toEqual(['one ', 'two'].map((delta) => ({ type: 'content', delta })))
    expect((await again.response()).cache).toBe('memory')
    expect(server.seen.length).toBe(1)
  })

  test('that is cut says what was delivered, or begins again elsewhere', async () => {
    server.answer = async ({ json }, response) => {
      if (json['model'] === 'b') return sendEvents(response, told(['mine']))
      beginEvents(response)
      for (const each of told(['one ', 'two']).slice(0, 5)) await event(response, each)
      await new Promise((resolve) => setTimeout(resolve, 20))
      response.destroy()
    }
    const error = await caught(collected(routed().stream('default', { input: 'Hi' })))
    expect(error).toMatchObject({ code: 'ERR_INTERRUPTED', delivered: 'one ' })
    const router = routed(['local::a', 'local::b'])
    const restarted = await collected(router.stream('default', { input: 'Hi' }, { onInterrupt: 'restart' }))
    expect(restarted).toContainEqual({ type: 'restart', discarded: 'one ', deployment: 'local::b' })
    expect(text(restarted.slice(-1))).toBe('mine')
    const hidden = router.stream('default', { input: 'Hi' }, { buffer: true })
    expect(text(await collected(hidden))).toBe('mine')
  })

  test('that ends without its last event is never a quiet end', async () => {
    server.answer = (_seen, response) => sendEvents(response, told(['one ', 'two']).slice(0, -1))
    const error = await caught(routed().stream('default', { input: 'Hi' }).response())
    expect(error.message).toMatch(/ended without the end of its response/)
  })

  test('that is left closes the socket', async () => {
    server.answer = async (_seen, response) => {
      beginEvents(response)
      for (const each of told(['one ', 'two']).slice(0, 5)) await event(response, each)
    }
    for await (const _ of routed().stream('default', { input: 'Hi' })) break
    await server.last.closed
    const controller = new AbortController()
    const stream = routed().stream('default', { input: 'Hi' }, { signal: controller.signal })
    const reading = caught(collected(stream))
    const seen = await server.received(2)
    controller.abort(new Error('enough'))
    expect((await reading).message).toBe('enough')
    await seen.closed
  })
})

describe('what a provider keeps', () => {
  const two = (): ResponsesRouter => {
    const router = new ResponsesRouter({ retry: { baseDelayMs: 0, cooldownMs: 1 } })
    for (const name of ['one', 'two'])
      router.addProvider({ type: 'openai-compatible', name, baseUrl: `${server.origin}/${name}` })
    router.deploy('default', 'one::m').deploy('default', 'two::m').deploy('second', 'two::m')
    return router.configureGroup('default', { strategy: 'first-available' })
  }

  test('is asked of whoever has it', async () => {
    server.answer = ({ path }, response) => send(response, said(path, { id: `resp_${path.split('/')[1]}` }))
    const router = two()
    const { id } = await router.invoke('second', { input: 'Hi' })
    expect(id).toBe('resp_two')
    const next = await router.invoke('default', { input: 'and then?', previous_response_id: id })
    expect(next.deployment).toBe('two::m')
    expect((await router.invoke('default', { input: 'and now?', previous_response_id: 'resp_other' })).deployment).toBe(
      'one::m',
    )
  })

  test('is looked for elsewhere, where it is not', async () => {
    const error = {
      message: "Previous response with id 'resp_x' not found.",
      type: 'invalid_request_error',
      param: 'previous_response_id',
      code: 'previous_response_not_found',
    }
    server.answer = ({ path }, response) =>
      path.startsWith('/one') ? status(400, { error })(undefined as never, response) : send(response, said('mine'))
    const answer = await two().invoke('default', { input: 'Hi', previous_response_id: 'resp_x' })
    expect(answer).toMatchObject({ deployment: 'two::m', attempts: [{ outcome: 'rejected', status: 400 }, {}] })
  })
})

describe('a provider in JavaScript', () => {
  const routedTo = (provider: CustomProvider): ResponsesRouter =>
    new ResponsesRouter({ retry: { maxRetries: 0 } }).addProvider(provider).deploy('default', `${provider.name}::m`)

  test('responds with a text, an answer, or pieces', async () => {
    const whole = routedTo({ name: 'mine', respond: async ({ input, model }) => `${model}: ${input as string}` })
    expect(`${await whole.invoke('default', { input: 'Hi' })}`).toBe('m: Hi')
    const shaped = routedTo({ name: 'mine', respond: async () => said('as it is', { id: 'resp_mine' }) })
    expect(await shaped.invoke('default', { input: 'Hi' })).toMatchObject({ id: 'resp_mine', outputText: 'as it is' })
    const pieces = routedTo({
      name: 'mine',
      async *respond() {
        yield 'one '
        yield { type: 'content', delta: 'two' }
        yield { type: 'tool-call', index: 0, id: 'call_1', name: 'f', arguments: '{}' }
      },
    })
    const stream = pieces.stream('default', { input: 'Hi' })
    expect(text(await collected(stream))).toBe('one two')
    expect(await stream.response()).toMatchObject({ outputText: 'one two', toolCalls: [{ id: 'call_1', name: 'f' }] })
    expect(`${await pieces.invoke('default', { input: 'Hi' })}`).toBe('one two')
  })

  test('without that method is no provider of responses', () => {
    const router = new ResponsesRouter().addProvider({ name: 'mine', complete: async () => '' })
    expect(() => router.deploy('default', 'mine::m')).toThrow(/does not serve requests of kind response/)
  })
})
