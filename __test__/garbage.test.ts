import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { CompletionRouter, EmbeddingRouter, type ProviderError, RerankRouter } from '..'
import { caught } from './support/caught'
import { type Answer, TestServer, chat, status } from './support/server'

let server: TestServer

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

/** A router of each kind with one deployment of the server, which tries once. */
function routers() {
  const options = { retry: { maxRetries: 0 }, cache: {} }
  const provider = { type: 'openai-compatible', name: 'local', baseUrl: server.url } as const
  const completion = new CompletionRouter(options).addProvider(provider).deploy('default', 'local::m')
  const embedding = new EmbeddingRouter(options).addProvider(provider).deploy('default', 'local::m')
  const rerank = new RerankRouter(options).addProvider(provider).deploy('default', 'local::m')
  return { completion, embedding, rerank }
}

const page = '<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>'
const choices = (message: unknown) => ({ choices: [{ index: 0, message, finish_reason: 'stop' }] })

const nonsense: [what: string, body: unknown][] = [
  ['an HTML page', page],
  ['nothing', ''],
  ['blanks', ' \n'],
  ['half an answer', '{"choices":[{"index":0,"message":{"role":"assi'],
  ['an answer and more', `${JSON.stringify(chat('Hi'))}{}`],
  ['null', 'null'],
  ['a number', '7'],
  ['a text', '"hello"'],
  ['an array', '[]'],
  ['an empty object', '{}'],
  ['no choices', { choices: [] }],
  ['choices that are none', { choices: 'two', data: 'two', results: 'two' }],
  ['choices that are null', { choices: null, data: null, results: null }],
  ['a choice that is a text', { choices: ['x'], data: ['x'], results: ['x'] }],
  ['no message', { choices: [{}], data: [{}], results: [{}] }],
  ['content that is a number', choices({ role: 'assistant', content: 7 })],
  ['tool calls that are a text', choices({ role: 'assistant', content: '', tool_calls: 'x' })],
  ['tool calls that are texts', choices({ role: 'assistant', content: '', tool_calls: ['x'] })],
  ['very deep', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
]

describe('an answer that is none', () => {
  test.each(nonsense)('%s is an error that shows it', async (_what, body) => {
    const all = routers()
    server.answer = status(200, body)
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const errors = [
      await caught(all.completion.invoke('default', { message: 'Hi' })),
      await caught(all.completion.stream('default', { message: 'Hi, again' }).completion()),
      await caught(all.embedding.invoke('default', { input: 'Hi' })),
      await caught(all.rerank.invoke('default', { query: 'Hi', documents: ['a'] })),
    ]
    for (const error of errors) {
      expect(error).toMatchObject({ name: 'ProviderError', code: 'ERR_PROVIDER', status: 200, deployment: 'local::m' })
      expect(error['body']).toBe(text.slice(0, 65_536))
      expect(error['attempts']).toMatchObject([{ outcome: 'truncated' }])
    }
    expect(all.completion.cache?.stats().entries).toBe(0)
    expect(all.completion.stats().inFlight).toBe(0)
  })

  test('bytes that are no text are shown as far as they can be', async () => {
    server.answer = (_seen, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(Buffer.from([0xff, 0xfe, 0x00, 0x7b]))
    }
    const error = await caught(routers().completion.invoke('default', { message: 'Hi' }))
    expect(error).toMatchObject({ code: 'ERR_PROVIDER', status: 200 })
    expect(error['body']).toContain('{')
  })

  test.each([500, 502, 404, 200])('of status %d is kept up to 64 KiB, at a whole character', async (code) => {
    server.answer = status(code, `${page}${'é'.repeat(100_000)}`, { 'content-type': 'text/html' })
    const error = await caught(routers().completion.invoke('default', { message: 'Hi' }))
    const { body } = error as unknown as ProviderError
    expect(error).toMatchObject({ name: 'ProviderError', status: code })
    expect(body?.startsWith(page)).toBe(true)
    expect(Buffer.byteLength(body ?? '')).toBeGreaterThan(65_530)
    expect(Buffer.byteLength(body ?? '')).toBeLessThanOrEqual(65_536)
    expect(body?.at(-1)).toBe('é')
    expect(error.message.length).toBeLessThan(2000)
  })

  test('cut before its end is an error', async () => {
    server.answer = (_seen, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 })
      response.write('{"choices":', () => response.destroy())
    }
    const error = await caught(routers().completion.invoke('default', { message: 'Hi' }))
    expect(error).toMatchObject({ code: 'ERR_PROVIDER', status: 200, retryable: true })
  })

  test('longer than allowed is not read to its end', async () => {
    const router = new CompletionRouter({ retry: { maxRetries: 0 } })
    const provider = { type: 'openai-compatible', name: 'local', baseUrl: server.url, maxResponseBytes: 10_000 }
    router.addProvider(provider as never).deploy('default', 'local::m')
    server.answer = status(200, chat('x'.repeat(20_000)))
    const error = await caught(router.invoke('default', { message: 'Hi' }))
    expect(error).toMatchObject({ code: 'ERR_PROVIDER', status: 200 })
    expect(error.message).toContain('10000')
  })
})

describe('a failure in a success’s clothes', () => {
  test.each([
    ['a caller’s mistake', { error: { message: 'stop is too long', type: 'invalid_request_error' } }, 'rejected'],
    ['a full house', { error: { message: 'Rate limit reached', code: 'rate_limit_exceeded' } }, 'rate-limited'],
    ['no quota', { error: { message: 'no more', type: 'insufficient_quota' } }, 'quota'],
    ['a wrong key', { error: { message: 'Incorrect API key provided', code: 'invalid_api_key' } }, 'auth'],
    ['something else', { error: { message: 'The engine is overheated', code: null } }, 'transient'],
    ['a bare text', { error: 'The engine is overheated' }, 'transient'],
  ])('is what it says: %s', async (_what, body, outcome) => {
    server.answer = status(200, body)
    const error = await caught(routers().completion.invoke('default', { message: 'Hi' }))
    const limited = { name: 'RateLimitError', code: 'ERR_RATE_LIMITED' }
    const refused = { name: 'ProviderError', code: 'ERR_PROVIDER', status: 200 }
    expect(error).toMatchObject(outcome === 'rate-limited' ? limited : refused)
    const [attempt] = error['attempts'] as { outcome: string; message: string }[]
    expect(attempt?.outcome).toBe(outcome ?? attempt?.outcome)
    const { error: said } = body as { error: string | { message: string } }
    expect(attempt?.message).toContain(typeof said === 'string' ? said : said.message)
  })
})

describe('a status that says no', () => {
  const bodies: [what: string, answer: Answer][] = [
    ['with a page', status(502, page, { 'content-type': 'text/html' })],
    ['with nothing', status(503, '')],
    ['with half an object', status(500, '{"error":')],
    ['with an error that is a number', status(500, { error: 7 })],
    ['with words elsewhere', status(500, { detail: [{ msg: 'field required' }] })],
    ['that nobody knows', status(599, 'what?')],
    [
      'without a body’s end',
      (_seen, response) => {
        response.writeHead(500, { 'content-length': 100 })
        response.write('oops', () => response.destroy())
      },
    ],
  ]

  test.each(bodies)('%s is an error with the status', async (_what, answer) => {
    server.answer = answer
    const error = await caught(routers().completion.invoke('default', { message: 'Hi' }))
    expect(error.name).toBe('ProviderError')
    expect(error['status']).toBeGreaterThanOrEqual(500)
    expect(error.message).toMatch(/^local::m: 5\d\d /)
  })

  test.each(['soon', '-1', '1e999', '99999999999999999999', 'Thu, 99 Foo 2020', ''])(
    'and %j as the time to come back is an error all the same',
    async (later) => {
      server.answer = status(
        429,
        { error: { message: 'slow down' } },
        { 'retry-after': later, 'retry-after-ms': later },
      )
      const all = routers()
      const error = await caught(all.completion.invoke('default', { message: 'Hi' }))
      expect(error).toMatchObject({ code: expect.stringMatching(/^ERR_(PROVIDER|RATE_LIMITED)$/) })
      const [deployment] = all.completion.stats().groups['default']?.deployments ?? []
      expect(Number.isFinite(deployment?.restMs)).toBe(true)
    },
  )
})

test('a server that speaks no HTTP is an error', async () => {
  const { createServer } = await import('node:net')
  const other = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => socket.end('SSH-2.0-OpenSSH_9.6\r\n'))
  })
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as { port: number }
  const router = new CompletionRouter({ retry: { maxRetries: 0 } })
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: `http://127.0.0.1:${port}` })
  const error = await caught(router.deploy('default', 'local::m').invoke('default', { message: 'Hi' }))
  expect(error).toMatchObject({ name: 'ProviderError', code: 'ERR_PROVIDER' })
  expect(error['status']).toBeUndefined()
  await new Promise((resolve) => other.close(resolve))
})
