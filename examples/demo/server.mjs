// A small server in OpenAI's dialect, for the demo, the examples and the benchmark: no network, no key, no dependency.
//
//   node examples/demo/server.mjs 8080
//
// Chat: it adds when it is asked to ("12 + 30" is answered with "12 + 30 = 42"), else it repeats the question; so an
// answer always shows which question it belongs to. Embeddings depend only on the words of the text, rerank scores are
// the share of the query's words that a document has.

import { createServer } from 'node:http'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'

/**
 * How each model behaves. Any other name answers at once and always.
 *
 * - `latencyMs`: from the request to the answer, at least and at most
 * - `outage`: answers 503 from the first of these milliseconds after its first request to the second
 * - `limitEvery`: answers every n-th request with 429 and `retry-after-ms`
 */
export const MODELS = {
  swift: { latencyMs: [40, 90] },
  steady: { latencyMs: [250, 450], limitEvery: 20 },
  shaky: { latencyMs: [80, 160], outage: [0, 3000] },
}

const DIMENSIONS = 16

/** Starts the server on a free port of 127.0.0.1, or on `port`. */
export async function startServer({ port = 0, models = MODELS } = {}) {
  const state = new Map()
  const counts = {}
  const server = createServer((request, response) => {
    serve(request, response, models, state, counts).catch((error) => {
      if (response.headersSent) response.destroy(error)
      else fail(response, 500, error.message)
    })
  })
  server.keepAliveTimeout = 30_000
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${server.address().port}/v1`,
    /** Requests so far, by model and status. */
    counts,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

async function serve(request, response, models, state, counts) {
  const parts = []
  for await (const part of request) parts.push(part)
  const path = new URL(request.url, 'http://localhost').pathname
  const answer = { '/v1/chat/completions': chat, '/v1/embeddings': embed, '/v1/rerank': rerank }[path]
  if (request.method !== 'POST' || !answer) return fail(response, 404, `no such endpoint: ${request.method} ${path}`)
  let body
  try {
    body = JSON.parse(Buffer.concat(parts).toString())
  } catch (error) {
    return fail(response, 400, `the body is not JSON: ${error.message}`)
  }
  const refusal = await behave(String(body.model), models[body.model], state)
  const count = (counts[body.model] ??= {})
  count[refusal?.status ?? 200] = (count[refusal?.status ?? 200] ?? 0) + 1
  if (refusal) return fail(response, refusal.status, refusal.message, refusal.headers)
  await answer(body, response)
}

/** Waits as long as the model takes; gives what it says instead of an answer, if it fails now. */
async function behave(name, model, state) {
  if (!model) return undefined
  const now = performance.now()
  const seen = state.get(name) ?? { since: now, requests: 0 }
  seen.requests += 1
  state.set(name, seen)
  const age = now - seen.since
  if (model.outage && age >= model.outage[0] && age < model.outage[1]) {
    await sleep(10)
    return { status: 503, message: `${name} is overloaded` }
  }
  if (model.limitEvery && seen.requests % model.limitEvery === 0) {
    return {
      status: 429,
      message: `${name}: too many requests`,
      headers: { 'retry-after-ms': '300', 'retry-after': '1' },
    }
  }
  const [least, most] = model.latencyMs ?? [0, 0]
  if (most > 0) await sleep(least + Math.random() * (most - least))
  return undefined
}

async function chat(body, response) {
  const question = textOf(body.messages?.at(-1)?.content)
  const sum = /(\d+)\s*\+\s*(\d+)/.exec(question)
  const content = sum ? `${sum[1]} + ${sum[2]} = ${Number(sum[1]) + Number(sum[2])}` : `You said: ${question}`
  const prompt = body.messages?.map((message) => textOf(message.content)).join(' ') ?? ''
  const usage = usageOf(prompt, content)
  const head = { id: `chatcmpl-${++made}`, created: Math.floor(Date.now() / 1000), model: body.model }
  if (!body.stream) {
    const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }]
    return send(response, 200, { ...head, object: 'chat.completion', choices, usage })
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
  const event = (choices, rest) => {
    const chunk = { ...head, object: 'chat.completion.chunk', choices, ...rest }
    response.write(`data: ${JSON.stringify(chunk)}\n\n`)
  }
  for (const word of content.match(/\s*\S+/g) ?? []) {
    if (response.destroyed) return
    event([{ index: 0, delta: { content: word }, finish_reason: null }])
    if (body.model in MODELS) await sleep(15)
  }
  event([{ index: 0, delta: {}, finish_reason: 'stop' }])
  if (body.stream_options?.include_usage) event([], { usage })
  response.end('data: [DONE]\n\n')
}

async function embed(body, response) {
  const inputs = Array.isArray(body.input) ? body.input : [body.input]
  const data = inputs.map((input, index) => {
    const vector = vectorOf(String(input), body.dimensions ?? DIMENSIONS)
    const bytes = Buffer.from(vector.buffer)
    const embedding = body.encoding_format === 'base64' ? bytes.toString('base64') : Array.from(vector)
    return { object: 'embedding', index, embedding }
  })
  const { prompt_tokens } = usageOf(inputs.join(' '), '')
  send(response, 200, {
    object: 'list',
    data,
    model: body.model,
    usage: { prompt_tokens, total_tokens: prompt_tokens },
  })
}

async function rerank(body, response) {
  const wanted = wordsOf(body.query)
  const results = body.documents.map((document, index) => {
    const words = new Set(wordsOf(textOf(document.text ?? document)))
    return { index, relevance_score: wanted.filter((word) => words.has(word)).length / Math.max(1, wanted.length) }
  })
  results.sort((left, right) => right.relevance_score - left.relevance_score || left.index - right.index)
  send(response, 200, {
    id: `rerank-${++made}`,
    model: body.model,
    results: results.slice(0, body.top_n ?? results.length),
  })
}

let made = 0

function textOf(content) {
  if (Array.isArray(content)) return content.map((part) => part.text ?? '').join('')
  return content ?? ''
}

function wordsOf(text) {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []
}

function usageOf(prompt, completion) {
  const [prompt_tokens, completion_tokens] = [prompt, completion].map((text) => Math.ceil(text.length / 4))
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
}

/** Texts that share words get vectors that point the same way. */
function vectorOf(text, dimensions) {
  const vector = new Float32Array(dimensions)
  for (const word of wordsOf(text)) {
    let hash = 2166136261
    for (const byte of Buffer.from(word)) hash = Math.imul(hash ^ byte, 16777619) >>> 0
    for (let place = 0; place < dimensions; place += 1) {
      hash = Math.imul(hash ^ (hash >>> 15), 2246822519) >>> 0
      vector[place] += hash / 2 ** 31 - 1
    }
  }
  const length = Math.hypot(...vector) || 1
  return vector.map((value) => value / length)
}

function send(response, status, body, headers) {
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  })
  response.end(text)
}

function fail(response, status, message, headers) {
  send(response, status, { error: { message, type: 'demo_error', code: null } }, headers)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { url } = await startServer({ port: Number(process.argv[2] ?? 8080) })
  console.log(`listening at ${url} (models: ${Object.keys(MODELS).join(', ')}, or any other name)`)
}
