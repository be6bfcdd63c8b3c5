import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { type FetchOptions, toFetch } from 'thryd/fetch'

import { CompletionRouter, type RouterOptions } from '../..'
import { caught } from '../support/caught'
import { BASE, chat, post, refused } from '../support/gateway'
import { TestServer, status } from '../support/server'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
})
afterEach(() => server.reset())
afterAll(() => server.close())

function routed(options: RouterOptions = {}, limits: object = {}): CompletionRouter {
  const router = new CompletionRouter({ retry: { maxRetries: 0, baseDelayMs: 0 }, ...options })
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
  return router.deploy('default', 'local::m', limits)
}

function handlerOf(
  options?: RouterOptions,
  limits?: object,
  more: Partial<FetchOptions> = {},
): ReturnType<typeof toFetch> {
  return toFetch({ completion: routed(options, limits), ...more })
}

describe('a body that is no request', () => {
  const deep = `{"model":"default","messages":${'['.repeat(10_000)}${']'.repeat(10_000)}}`
  test.each([
    ['nothing', '', null],
    ['no JSON', '{"model":', null],
    ['an array', '[{"model":"default"}]', null],
    ['a text', '"default"', null],
    ['without a model', '{"messages":[{"role":"user","content":"hi"}]}', 'model'],
    ['with a model that is no string', '{"model":7,"messages":[]}', 'model'],
    ['with a model that is null', '{"model":null,"messages":[]}', 'model'],
    ['nested too deeply', deep, null],
    ['without messages', '{"model":"default"}', null],
    ['with a message that has no role', '{"model":"default","messages":[{"content":"hi"}]}', 'messages[0].role'],
    [
      'with a number out of its range',
      '{"model":"default","messages":[{"role":"user"}],"temperature":9}',
      'temperature',
    ],
    ['with a stream that is no flag', '{"model":"default","messages":[{"role":"user"}],"stream":"yes"}', 'stream'],
  ])('%s is 400, names the field, and costs nothing', async (_name, body, param) => {
    const router = routed()
    const error = await refused(await post(toFetch({ completion: router }), '/chat/completions', body))
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error', param })
    expect(router.stats().groups['default']?.deployments[0]?.window).toEqual({ requests: 0, tokens: 0 })
    expect(server.seen.length).toBe(0)
  })

  test('of 100 MiB is 413, before it is read if its length is said, and while it is if not', async () => {
    const router = routed()
    const handler = toFetch({ completion: router })
    const said = await handler(`${BASE}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': String(100 << 20) },
      body: '{}',
    })
    expect(await refused(said)).toMatchObject({ status: 413, code: 'request_too_large' })
    expect((await refused(await post(handler, '/chat/completions', 'x'.repeat(100 << 20)))).status).toBe(413)
    let pulled = 0
    let isCancelled = false
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        pulled += 1
        controller.enqueue(new Uint8Array(1 << 20))
      },
      cancel: () => {
        isCancelled = true
      },
    })
    const init = { method: 'POST', body, duplex: 'half', headers: { 'content-type': 'application/json' } }
    expect((await refused(await handler(`${BASE}/chat/completions`, init as RequestInit))).status).toBe(413)
    expect(isCancelled).toBe(true)
    expect(pulled).toBeLessThan(70)
    expect(router.stats().inFlight).toBe(0)
  })

  test('that is not UTF-8 is 400', async () => {
    const init = { method: 'POST', body: new Uint8Array([0xff, 0xfe]), headers: { 'content-type': 'application/json' } }
    expect((await refused(await handlerOf()(`${BASE}/chat/completions`, init))).status).toBe(400)
  })
})

describe('a body that cannot be read', () => {
  const url = `${BASE}/chat/completions`
  const text = JSON.stringify({ model: 'default', messages: [{ role: 'user', content: 'hi' }] })
  const requestOf = (body: string | ReadableStream): Request =>
    new Request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      duplex: 'half',
    } as RequestInit)
  const streamOf = (start: (controller: ReadableStreamDefaultController) => void): Request =>
    requestOf(new ReadableStream({ start }))

  const readBefore = async (): Promise<Request> => {
    const request = requestOf(text)
    await request.text()
    return request
  }
  const beingRead = (): Request => {
    const request = requestOf(text)
    request.body?.getReader()
    return request
  }

  test.each<[string, () => Promise<Request> | Request]>([
    ['was read before', readBefore],
    ['is being read', beingRead],
    ['breaks off', () => streamOf((controller) => controller.error(new Error('the net is gone')))],
    ['is made of texts', () => streamOf((controller) => controller.enqueue(text))],
  ])('because it %s is 400, not a rejection', async (_what, make) => {
    const request = await make()
    const { status: code, message } = await refused(await handlerOf()(request))
    expect([code, message]).toEqual([400, expect.stringContaining('cannot be read')])
    expect(server.seen).toHaveLength(0)
  })
})

describe('a request that leads nowhere', () => {
  test.each([
    ['POST', '/v1/chat', 404],
    ['POST', '/v1/completions', 404],
    ['GET', '/', 404],
    ['POST', '/chat/completions', 404],
    ['POST', '/v1/embeddings', 404],
    ['GET', '/v1/chat/completions', 405],
    ['PUT', '/v1/chat/completions', 405],
    ['OPTIONS', '/v1/chat/completions', 405],
    ['OPTIONS', '/v1/models', 405],
    ['POST', '/v1/models', 405],
  ])('%s %s is %i', async (method, path, expected) => {
    const hasBody = method === 'POST' || method === 'PUT'
    const response = await handlerOf()(`http://thryd.local${path}`, { method, ...(hasBody && { body: '{}' }) })
    const allowed = path.includes('models') ? 'GET, HEAD' : 'POST'
    expect(response.headers.get('allow')).toBe(expected === 405 ? allowed : null)
    expect((await refused(response)).status).toBe(expected)
  })

  test.each(['text/plain', 'multipart/form-data; boundary=a', 'application/x-www-form-urlencoded'])(
    '%s is 415',
    async (type) => {
      const response = await chat(handlerOf(), 'hi', {}, { headers: { 'content-type': type } })
      expect((await refused(response)).status).toBe(415)
    },
  )

  test('an unknown group is a model that is not there', async () => {
    for (const stream of [false, true]) {
      const response = await chat(handlerOf(), 'hi', { model: 'gpt-5', stream })
      expect(response.headers.get('x-should-retry')).toBe('false')
      expect(await refused(response)).toMatchObject({ status: 404, param: 'model', code: 'model_not_found' })
    }
  })
})

describe('authorize', () => {
  test('lets through what it says yes to, and nothing else', async () => {
    const key = (request: Request): boolean => request.headers.get('authorization') === 'Bearer client-key'
    const handler = handlerOf({}, {}, { authorize: key })
    expect((await chat(handler, 'hi')).status).toBe(200)
    const response = await chat(handler, 'hi', {}, { headers: { authorization: 'Bearer other' } })
    expect(await refused(response)).toMatchObject({ status: 401, code: 'invalid_api_key' })
    for (const verdict of [undefined, null, 1, 'yes'])
      expect((await chat(handlerOf({}, {}, { authorize: () => verdict as never }), 'hi')).status).toBe(401)
    expect(server.seen.length).toBe(1)
    expect(JSON.stringify(server.seen)).not.toContain('client-key')
  })

  test('may answer by itself, and hears of models too', async () => {
    const own = new Response('pay first', { status: 402 })
    const handler = handlerOf({}, {}, { authorize: async () => own })
    expect(await handler(`${BASE}/models`)).toBe(own)
  })

  test('that throws is a defect of the host, not an answer', async () => {
    const handler = handlerOf({}, {}, { authorize: () => Promise.reject(new Error('no database')) })
    await expect(chat(handler, 'hi')).rejects.toThrow('no database')
    expect(server.seen.length).toBe(0)
  })
})

describe('a call that fails', () => {
  const OWN = { message: 'bad tool', type: 'invalid_request_error', param: 'tools[0]', code: 'bad_tool' }
  test.each([400, 409, 422])('for what the provider says of the request (%i) is told in its words', async (code) => {
    server.answer = status(code, { error: OWN })
    const response = await chat(handlerOf(), 'hi')
    expect(response.headers.get('x-thryd-attempts')).toBe('1')
    expect(await refused(response)).toEqual({ ...OWN, status: code })
  })

  test('for a text that is too long says so in words that clients know', async () => {
    const error = {
      message: 'maximum context length is 10',
      type: 'invalid_request_error',
      code: 'context_length_exceeded',
    }
    server.answer = status(400, { error })
    expect(await refused(await chat(handlerOf(), 'hi'))).toMatchObject({ status: 400, code: 'context_length_exceeded' })
    const limited = handlerOf({}, { contextWindow: 2 })
    expect(await refused(await chat(limited, 'one two three four'))).toMatchObject({
      status: 400,
      code: 'context_length_exceeded',
    })
    expect((await refused(await chat(handlerOf({}, { tpm: 2 }), 'one two three four'))).status).toBe(413)
  })

  test.each([false, true])('for a limit says when to come back, never too early (stream: %s)', async (stream) => {
    server.answer = status(429, { error: { message: 'slow down' } }, { 'retry-after-ms': 1200 })
    const response = await chat(handlerOf(), 'hi', { stream })
    const [seconds, milliseconds] = ['retry-after', 'retry-after-ms'].map((name) => Number(response.headers.get(name)))
    expect(milliseconds).toBeGreaterThan(1000)
    expect((seconds ?? 0) * 1000).toBeGreaterThanOrEqual(milliseconds ?? Infinity)
    expect(Number.isInteger(seconds)).toBe(true)
    expect(response.headers.has('x-should-retry')).toBe(false)
    expect(await refused(response)).toMatchObject({ status: 429, type: 'rate_limit_error' })
  })

  test('in the line for too long is 408', async () => {
    const handler = handlerOf({ timeouts: { queueMs: 30 } }, { maxConcurrent: 1 })
    server.answer = () => undefined
    const controller = new AbortController()
    const first = chat(handler, 'one', {}, { signal: controller.signal }).catch(() => undefined)
    await server.received()
    const second = await chat(handler, 'two')
    expect(await refused(second)).toMatchObject({ status: 408 })
    controller.abort()
    await first
  })

  test.each([
    ['a provider that fails', 500, 502, 'provider_error'],
    ['a provider that is down', 503, 502, 'provider_error'],
    ["the host's own key", 401, 502, 'provider_error'],
    ["the host's own bill", 402, 502, 'provider_error'],
  ])('by %s is a bad gateway', async (_name, code, expected, word) => {
    server.answer = status(code, { error: { message: 'Incorrect API key provided: sk-host', type: 'x' } })
    const error = await refused(await chat(handlerOf(), 'hi'))
    expect(error).toMatchObject({ status: expected, type: 'server_error', code: word })
    expect(error.message).not.toContain('sk-host')
  })

  test.each([400, 422, 429, 500, 503, 200])('with %d tells a client nothing of where it is', async (code) => {
    const { port } = new URL(server.url)
    const provider = { type: 'openai-compatible', name: 'p', baseUrl: `http://localhost:${port}/v1` } as const
    const fresh = (): CompletionRouter =>
      new CompletionRouter({ retry: { maxRetries: 0 }, providers: [provider] }).deploy('default', 'p::m')
    const where = [
      'http://localhost/x',
      `LocalHost:${port}`,
      '127.0.0.1',
      `[::1]:${port}`,
      'localhost',
      'db.internal:5432',
    ]
    for (const place of where) {
      server.answer = status(code, { error: { message: `${place} says no`, type: place, param: place, code: place } })
      for (const stream of [false, true]) {
        const error = await refused(await chat(toFetch({ completion: fresh() }), 'hi', { stream }))
        expect(JSON.stringify(error)).not.toMatch(/localhost|127\.0|::1|internal/i)
        expect(error.message).toBeTruthy()
      }
      // The host's own errors say it.
      const own = await caught(fresh().invoke('default', { message: 'hi' }))
      expect(own.message).toContain(place)
    }
  })

  test('several times says what the last one was', async () => {
    server.answer = status(503, { error: { message: 'down' } })
    const router = routed({ retry: { maxRetries: 2, baseDelayMs: 0, cooldownMs: 1 } }).deploy('default', 'local::n')
    const response = await chat(toFetch({ completion: router }), 'hi')
    expect(Number(response.headers.get('x-thryd-attempts'))).toBeGreaterThan(1)
    expect(await refused(response)).toMatchObject({ status: 502, message: expect.stringContaining('down') as string })
  })

  test('by silence is 504', async () => {
    server.answer = () => undefined
    for (const stream of [false, true]) {
      const response = await chat(handlerOf({ timeouts: { firstTokenMs: 40 } }), 'hi', { stream })
      expect(await refused(response)).toMatchObject({ status: 504, code: 'timeout' })
    }
  })

  test('because only the cache was to answer is 504, and not to be tried again', async () => {
    const response = await chat(handlerOf({ cache: {} }, {}, { options: { cache: 'only-if-cached' } }), 'hi')
    expect(response.headers.get('x-should-retry')).toBe('false')
    expect(await refused(response)).toMatchObject({ status: 504, code: 'not_cached' })
  })

  test('because the router is closed is 503', async () => {
    const router = routed()
    await router.close()
    expect((await refused(await chat(toFetch({ completion: router }), 'hi'))).status).toBe(503)
  })
})
