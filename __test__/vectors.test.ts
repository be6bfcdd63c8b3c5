import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { EmbeddingRouter, type ProviderOptions, RerankRouter } from '..'
import { caught } from './support/caught'
import { type Answer, TestServer, send, status } from './support/server'

let server: TestServer

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

/** A vector that no other text has. */
function vectorOf(text: string): number[] {
  const numbers = [text.length, ...[...text].map((letter) => letter.charCodeAt(0) / 7)]
  return [0, 1, 2, 3].map((place) => Math.fround(numbers[place] ?? -0.5))
}

const base64 = (vector: number[]) => Buffer.from(new Float32Array(vector).buffer).toString('base64')

/** Answers as OpenAI does, but last input first. */
const embed: Answer = (seen, response) => {
  const input = [seen.json['input']].flat() as string[]
  const isBase64 = seen.json['encoding_format'] === 'base64'
  const data = input.map((text, index) => {
    const vector = vectorOf(text)
    return { object: 'embedding', index, embedding: isBase64 ? base64(vector) : vector }
  })
  const usage = { prompt_tokens: input.length, total_tokens: input.length }
  send(response, { object: 'list', data: data.toReversed(), model: 'served-model', usage })
}

describe('embeddings', () => {
  function routed(options: Partial<ProviderOptions> = {}, cache?: object): EmbeddingRouter {
    const router = new EmbeddingRouter({ retry: { maxRetries: 0 }, ...(cache && { cache }) })
    router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url, ...options })
    server.answer = embed
    return router.deploy('default', 'local::embedder')
  }

  test('travel as base64 and come in the order of their inputs', async () => {
    const input = ['a', 'bb', 'ccc', 'dddd']
    const answer = await routed().invoke('default', { input, dimensions: 4, user: 'u' })
    expect(server.last.path).toBe('/v1/embeddings')
    expect(server.last.json).toEqual({
      model: 'embedder',
      input,
      dimensions: 4,
      user: 'u',
      encoding_format: 'base64',
    })
    expect(answer.vectors).toEqual(input.map((text) => new Float32Array(vectorOf(text))))
    expect(answer).toMatchObject({ model: 'served-model', deployment: 'local::embedder', usage: { promptTokens: 4 } })
  })

  test('of one text are one vector', async () => {
    const answer = await routed().invoke('default', { input: 'hello' })
    expect(answer.vectors).toEqual([new Float32Array(vectorOf('hello'))])
  })

  test('travel as floats to whoever knows nothing else, in its words', async () => {
    const router = routed({ type: 'mistral', apiKey: 'k' })
    const answer = await router.invoke('default', { input: ['a', 'b'], dimensions: 4 })
    expect(server.last.json).toEqual({ model: 'embedder', input: ['a', 'b'], output_dimension: 4 })
    expect(answer.vectors).toEqual(['a', 'b'].map((text) => new Float32Array(vectorOf(text))))
  })

  test('beyond what a provider takes at once are asked for in parts', async () => {
    const input = Array.from({ length: 75 }, (_, index) => `text ${index}`)
    const answer = await routed({ type: 'tei', baseUrl: server.origin }).invoke('default', { input })
    expect(server.last.path).toBe('/v1/embeddings')
    const sizes = server.seen.map((seen) => (seen.json['input'] as string[]).length)
    expect(sizes.toSorted((a, b) => b - a)).toEqual([32, 32, 11])
    expect(answer.vectors).toEqual(input.map((text) => new Float32Array(vectorOf(text))))
    expect(answer.usage.promptTokens).toBe(75)
  })

  test('are cached one by one', async () => {
    const router = routed({}, {})
    await router.invoke('default', { input: ['a', 'b'] })
    const answer = await router.invoke('default', { input: ['b', 'c', 'a', 'c'] })
    expect(server.seen.map((seen) => seen.json['input'])).toEqual([['a', 'b'], ['c']])
    expect(answer.vectors).toEqual(['b', 'c', 'a', 'c'].map((text) => new Float32Array(vectorOf(text))))
    const third = await router.invoke('default', { input: ['c', 'b'] })
    expect(third).toMatchObject({ cache: 'memory', attempts: [] })
    expect(server.seen).toHaveLength(2)
  })

  test.each([
    ['too few of them', { data: [{ index: 0, embedding: [1] }] }],
    [
      'one twice',
      {
        data: [
          { index: 0, embedding: [1] },
          { index: 0, embedding: [2] },
        ],
      },
    ],
    [
      'different lengths',
      {
        data: [
          { index: 0, embedding: [1] },
          { index: 1, embedding: [1, 2] },
        ],
      },
    ],
    [
      'words for numbers',
      {
        data: [
          { index: 0, embedding: ['x'] },
          { index: 1, embedding: [1] },
        ],
      },
    ],
    [
      'a cut base64',
      {
        data: [
          { index: 0, embedding: 'AAAA' },
          { index: 1, embedding: 'AAAAAA==' },
        ],
      },
    ],
    ['no data', {}],
  ])('with %s are an error', async (_what, body) => {
    const router = routed()
    server.answer = status(200, body)
    const failure = await caught(router.invoke('default', { input: ['a', 'b'] }))
    expect(failure).toMatchObject({ code: 'ERR_PROVIDER', status: 200, body: JSON.stringify(body) })
    expect(JSON.stringify(failure['attempts'])).toContain('"truncated"')
  })
})

describe('rerank', () => {
  const documents = ['blue', 'red car', 'red']
  const cohere = [
    { index: 1, relevance_score: 0.9 },
    { index: 2, relevance_score: 0.5 },
    { index: 0, relevance_score: 0.1 },
  ]

  const shapes: [type: ProviderOptions['type'], path: string, body: object, answer: unknown][] = [
    ['cohere', '/v2/rerank', { model: 'm', query: 'red', documents, top_n: 3 }, { results: cohere, id: 'x' }],
    [
      'jina',
      '/rerank',
      { model: 'm', query: 'red', documents, top_n: 3, return_documents: false },
      { results: cohere, model: 'm', usage: { total_tokens: 9 } },
    ],
    [
      'voyage',
      '/rerank',
      { model: 'm', query: 'red', documents, top_k: 3, return_documents: false },
      { object: 'list', data: cohere, model: 'm', usage: { total_tokens: 9 } },
    ],
    [
      'tei',
      '/rerank',
      { query: 'red', texts: documents, return_text: false },
      cohere.map(({ index, relevance_score }) => ({ index, score: relevance_score })),
    ],
    [
      'vllm',
      '/rerank',
      { model: 'm', query: 'red', documents, top_n: 3 },
      { results: cohere, usage: { total_tokens: 9 } },
    ],
    ['openai-compatible', '/rerank', { model: 'm', query: 'red', documents, top_n: 3 }, { results: cohere }],
  ]

  test.each(shapes)('in the shape of %s', async (type, path, body, answer) => {
    server.answer = status(200, answer)
    const router = new RerankRouter()
    router.addProvider({ type, name: 'local', baseUrl: server.origin, apiKey: 'sk-rank' }).deploy('default', 'local::m')
    const ranking = await router.invoke('default', { query: 'red', documents, top_n: 3 })
    expect(server.last.path).toBe(path)
    expect(server.last.json).toEqual(body)
    expect(server.last.headers.authorization).toBe('Bearer sk-rank')
    expect(ranking.results).toEqual([
      { index: 1, score: 0.9 },
      { index: 2, score: 0.5 },
      { index: 0, score: 0.1 },
    ])
    expect(ranking.deployment).toBe('local::m')
  })

  test('is best first whatever order it came in, and no longer than was asked', async () => {
    server.answer = status(200, [
      { index: 0, score: -1 },
      { index: 2, score: 3 },
      { index: 1, score: 2 },
    ])
    const router = new RerankRouter()
    router.addProvider({ type: 'tei', baseUrl: server.origin }).deploy('default', 'tei::m')
    const ranking = await router.invoke('default', { query: 'red', documents, top_n: 2 })
    expect(ranking.results).toEqual([
      { index: 2, score: 3 },
      { index: 1, score: 2 },
    ])
  })

  test.each([
    ['a document that is not there', { results: [{ index: 3, relevance_score: 1 }] }],
    ['no results', { message: 'hello' }],
    ['a score that is none', { results: [{ index: 0, relevance_score: 'high' }] }],
  ])('with %s is an error', async (_what, body) => {
    server.answer = status(200, body)
    const router = new RerankRouter({ retry: { maxRetries: 0 } })
    router.addProvider({ type: 'vllm', name: 'local', baseUrl: server.url }).deploy('default', 'local::m')
    const failure = await caught(router.invoke('default', { query: 'red', documents }))
    expect(failure).toMatchObject({ code: 'ERR_PROVIDER', status: 200, body: JSON.stringify(body) })
  })
})
