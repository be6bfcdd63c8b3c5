import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { FaultServer } from 'thryd/testing'
import { toFetch } from 'thryd/fetch'

import { CompletionRouter, EmbeddingRouter, RerankRouter } from '../..'
import { BASE, chat, post, refused } from '../support/gateway'
import { TestServer, send } from '../support/server'
import { streamingFrom } from '../support/streams'

let server: TestServer
let faulty: FaultServer
beforeAll(async () => {
  server = await TestServer.start()
  faulty = await FaultServer.start()
})
afterEach(() => {
  server.reset()
  faulty.reset()
})
afterAll(async () => {
  await server.close()
  await faulty.close()
})

/** Spaces, long numbers, fields that nobody knows and two choices: all that re-encoding would change. */
const ODD = `{ "id":"c-1","object":"chat.completion", "created":1,"model":"m-2026", "x_big":12345678901234567890,
  "choices":[{"index":0,"message":{"role":"assistant","content":"hi \\u00e9","refusal":null,"annotations":[{"type":"url_citation"}]},
    "logprobs":{"content":[{"token":"hi","logprob":-1.10}]},"finish_reason":"stop"},
    {"index":1,"message":{"role":"assistant","content":"ho"},"finish_reason":"stop"}],
  "usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"x_cost":0.10} }`

describe('a whole answer', () => {
  test("is the provider's own, byte for byte, also from the cache", async () => {
    server.answer = (_seen, response) => send(response, ODD)
    const handler = toFetch({ completion: streamingFrom(server, ['local::m'], {}) })
    for (const cache of ['miss', 'memory']) {
      const response = await chat(handler, 'hi', { n: 2, logprobs: true })
      expect(await response.text()).toBe(ODD)
      expect(response.status).toBe(200)
      expect(response.headers.get('x-thryd-cache')).toBe(cache)
    }
    expect(server.seen.length).toBe(1)
  })

  test('says what it took where the provider does not, and that it was counted here', async () => {
    const body = { choices: [{ message: { role: 'assistant', content: 'one two' }, finish_reason: 'stop' }], x: 1.5 }
    server.answer = (_seen, response) => send(response, body)
    const answer = await (await chat(toFetch({ completion: streamingFrom(server) }), 'hi')).json()
    expect(answer).toMatchObject({ ...body, usage: { completion_tokens: 2, estimated: true } })
  })

  test('carries who gave it, and the name that the client gave the request', async () => {
    const handler = toFetch({ completion: streamingFrom(server) })
    const response = await chat(handler, 'hi', {}, { headers: { 'x-request-id': 'mine' } })
    const { headers } = response
    expect(['deployment', 'cache', 'attempts'].map((name) => headers.get(`x-thryd-${name}`))).toEqual([
      'local::m',
      'off',
      '1',
    ])
    expect(headers.get('x-request-id')).toBe('mine')
    const ids = await Promise.all([1, 2].map(async () => (await chat(handler, 'a')).headers.get('x-request-id')))
    expect(new Set(ids).size).toBe(2)
  })
})

describe('a request', () => {
  test('reaches the provider with all that it says, but for its model and its key', async () => {
    const more = `"tools":[{"type":"function","function":{"name":"f","parameters":{"x-n":1.10}}}],"x_big":12345678901234567890`
    const body = `{"model":"default","messages":[{"role":"user","content":"hi","x":null}],${more},"user":"u"}`
    await post(toFetch({ completion: streamingFrom(server) }), '/chat/completions', body)
    expect(server.last.text).toBe(body.replace('"model":"default"', '"model":"m"'))
    expect(JSON.stringify(server.last.headers)).not.toContain('client-key')
  })

  test.each(['http://thryd.local/v1', 'https://example.com/api/ai/v1', 'http://localhost:3000/v1/v1'])(
    'is found below %s, whoever brings it',
    async (base) => {
      const handler = toFetch({ completion: streamingFrom(server) })
      const init = {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'default', messages: [{ role: 'user', content: 'hi' }] }),
      }
      const path = `${base}/chat/completions?api-version=1`
      const brought = [
        handler(path, init),
        handler(new URL(path), init),
        handler(new Request(path, init)),
        // What Next.js gives its route handlers.
        handler(new Request(path, init), { params: Promise.resolve({}) }),
        handler(new Request(path, { ...init, body: '{}' }), { body: init.body }),
        handler(path, { ...init, body: new Blob([init.body]).stream(), duplex: 'half' } as RequestInit),
      ]
      for (const response of await Promise.all(brought)) {
        expect(response.status).toBe(200)
        expect(await response.json()).toMatchObject({ choices: [{ message: { content: 'hi' } }] })
      }
    },
  )
})

describe('embeddings', () => {
  const handler = (): ReturnType<typeof toFetch> => {
    const embedding = new EmbeddingRouter({ providers: [faulty.provider()] }).deploy('vectors', 'faulty::m')
    return toFetch({ embedding })
  }
  const embed = async (more: object): Promise<{ data: { embedding: unknown; index: number }[] }> => {
    const response = await post(handler(), '/embeddings', { model: 'vectors', input: ['a', 'b', 'a'], ...more })
    expect(response.headers.get('x-thryd-deployment')).toBe('faulty::m')
    return (await response.json()) as { data: { embedding: unknown; index: number }[] }
  }

  test('are numbers, or the same numbers as bytes', async () => {
    const numbers = await embed({ encoding_format: 'float' })
    expect(numbers).toMatchObject({ object: 'list', model: 'm', usage: { prompt_tokens: 2, total_tokens: 2 } })
    expect(numbers.data.map(({ index }) => index)).toEqual([0, 1, 2])
    const bytes = await embed({ encoding_format: 'base64' })
    for (const [index, { embedding }] of bytes.data.entries()) {
      const buffer = Uint8Array.from(Buffer.from(embedding as string, 'base64'))
      expect([...new Float32Array(buffer.buffer)]).toEqual([
        ...Float32Array.from(numbers.data[index]?.embedding as number[]),
      ])
    }
    expect((await embed({})).data[0]).toEqual(numbers.data[0])
    expect(numbers.data[0]?.embedding).toEqual(numbers.data[2]?.embedding)
  })
})

describe('rerank', () => {
  const ask = async (more: object): Promise<Record<string, unknown>> => {
    const rerank = new RerankRouter({ providers: [faulty.provider()] }).deploy('ranks', 'faulty::m')
    const body = { model: 'ranks', query: 'green tea', documents: ['coffee', 'green tea'], ...more }
    return (await (await post(toFetch({ rerank }), '/rerank', body)).json()) as Record<string, unknown>
  }

  test('gives places, and the documents if they are asked for', async () => {
    const results = [
      { index: 1, relevance_score: 1 },
      { index: 0, relevance_score: 0 },
    ]
    expect(await ask({})).toMatchObject({ model: 'm', results, usage: { total_tokens: 5 } })
    expect((await ask({ top_n: 1 }))['results']).toEqual(results.slice(0, 1))
    expect((await ask({ return_documents: true, top_n: 1 }))['results']).toEqual([
      { ...results[0], document: { text: 'green tea' } },
    ])
  })
})

describe('models', () => {
  const handler = (): ReturnType<typeof toFetch> =>
    toFetch({
      completion: new CompletionRouter({ providers: [faulty.provider()] })
        .deploy('fast', 'faulty::a')
        .deploy('a/b', 'faulty::a'),
      embedding: new EmbeddingRouter({ providers: [faulty.provider()] })
        .deploy('vectors', 'faulty::b')
        .deploy('fast', 'faulty::b'),
    })

  test('are the groups of all routers, each once', async () => {
    const list = (await (await handler()(`${BASE}/models`)).json()) as { object: string; data: { id: string }[] }
    expect(list.object).toBe('list')
    expect(list.data.map(({ id }) => id).toSorted()).toEqual(['a/b', 'fast', 'vectors'])
  })

  test('are asked for without a body by HEAD, which has the head of GET', async () => {
    const handle = handler()
    for (const [path, status] of [
      ['/models', 200],
      ['/models/fast', 200],
      ['/models/none', 404],
      ['/nowhere', 404],
    ] as const) {
      const headers = { 'x-request-id': 'mine' }
      const whole = await handle(BASE + path, { headers })
      const head = await handle(BASE + path, { method: 'HEAD', headers })
      expect([head.status, head.body, await head.text()]).toEqual([status, null, ''])
      expect(whole.status).toBe(status)
      expect([...head.headers]).toEqual([...whole.headers])
    }
  })

  test('can be asked for by name, whatever its letters', async () => {
    for (const name of ['a/b', 'a%2Fb'])
      expect(await (await handler()(`${BASE}/models/${name}`)).json()).toMatchObject({ id: 'a/b', object: 'model' })
    expect(await refused(await handler()(`${BASE}/models/none`))).toMatchObject({
      status: 404,
      code: 'model_not_found',
    })
  })
})

describe('toFetch', () => {
  test.each([
    [undefined, /expected an object with routers/],
    [{}, /expected a completion, a responses, an embedding or a rerank router/],
    [{ completion: {} }, /completion: expected a CompletionRouter/],
    [{ completion: new EmbeddingRouter() }, /completion: expected a CompletionRouter/],
    [{ completion: new CompletionRouter(), authorise: () => true }, /unknown field authorise/],
    [{ completion: new CompletionRouter(), maxBodyBytes: 0 }, /maxBodyBytes: expected an integer of at least 1/],
    [{ completion: new CompletionRouter(), authorize: true }, /authorize: expected a function/],
  ])('refuses %o', (options, message) => {
    expect(() => toFetch(options as never)).toThrow(message)
  })

  test('rejects for options of a call that are none, naming the field', async () => {
    const handler = toFetch({ completion: streamingFrom(server), options: { prioritty: 1 } as never })
    await expect(chat(handler, 'hi')).rejects.toThrow(/prioritty/)
  })

  test('asks with the options that it was given for the request', async () => {
    const handler = toFetch({
      completion: streamingFrom(server, ['local::m'], {}),
      options: (request) => ({ namespace: request.headers.get('x-tenant') ?? '' }),
    })
    const cache: (string | null)[] = []
    for (const tenant of ['a', 'b', 'a'])
      cache.push((await chat(handler, 'hi', {}, { headers: { 'x-tenant': tenant } })).headers.get('x-thryd-cache'))
    expect(cache).toEqual(['miss', 'miss', 'memory'])
  })
})
