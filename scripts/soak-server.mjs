// The provider that `soak.mjs` talks to, in a process of its own so that its memory is not measured: an echo with faults.
import { createServer } from 'node:http'

import { random } from './soak-random.mjs'

/** Share of requests that meet a fault. */
const FAULTS = 0.05
const next = random(11)

const faults = [
  (_request, response) => json(response, { error: { message: 'overloaded' } }, 503),
  (_request, response) => json(response, { error: { message: 'slow down' } }, 429, { 'retry-after-ms': 5 }),
  (request) => request.socket.resetAndDestroy(),
  (request) => request.socket.destroy(),
  (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' })
    response.end('<html>maintenance</html>')
  },
  (_request, response) => json(response, ''),
  (request, response) => {
    events(response)
    response.write(piece({ content: 'cut off ' }), () => request.socket.destroy())
  },
  (_request, response) => {
    events(response)
    response.end(piece({ content: 'ended early ' }))
  },
  (_request, response) => {
    events(response)
    response.end(`${piece({ content: 'a ' })}data: {"choices":[\n\n`)
  },
  (_request, response) => {
    events(response)
    response.end(`${piece({ content: 'a ' })}data: {"error":{"message":"overloaded","type":"overloaded_error"}}\n\n`)
  },
  // Silence, before the answer and in the middle of it; the caller's clocks end it.
  () => undefined,
  (_request, response) => {
    events(response)
    response.write(piece({ content: 'and then ' }))
  },
]

let open = 0
let requests = 0
// Connections that are idle, or were never used, are closed soon, so that whatever is open at the end is held by somebody.
const soon = { keepAliveTimeout: 1000, headersTimeout: 1000, connectionsCheckingInterval: 500 }
const server = createServer(soon, (request, response) => void serve(request, response))
server.on('connection', (socket) => {
  open += 1
  socket.on('error', () => undefined)
  socket.on('close', () => {
    open -= 1
  })
})
server.listen(0, '127.0.0.1', () => process.send({ url: `http://127.0.0.1:${server.address().port}/v1` }))
process.on('message', () => process.send({ open, requests }))
process.on('disconnect', () => process.exit())

async function serve(request, response) {
  const chunks = []
  try {
    for await (const chunk of request) chunks.push(chunk)
  } catch {
    // It was cut while it was sent.
    return
  }
  requests += 1
  if (next() < FAULTS) faults[Math.floor(next() * faults.length)](request, response)
  else answer(request.url, JSON.parse(Buffer.concat(chunks).toString()), response)
}

function answer(path, body, response) {
  if (path.endsWith('/embeddings')) {
    const data = [body.input].flat().map((text, index) => ({ index, embedding: [Number(text), 1, 2] }))
    json(response, { object: 'list', model: body.model, data, usage: { prompt_tokens: 1, total_tokens: 1 } })
    return
  }
  const { content } = body.messages.at(-1)
  const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
  if (body.stream !== true) {
    const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }]
    json(response, { id: 'chatcmpl-1', object: 'chat.completion', created: 1, model: body.model, choices, usage })
    return
  }
  const words = content.split(/(?<= )/).map((word) => piece({ content: word }))
  const last = `data: ${JSON.stringify({ object: 'chat.completion.chunk', choices: [], usage })}\n\ndata: [DONE]\n\n`
  events(response)
  const half = words.length >> 1
  response.write(words.slice(0, half).join(''))
  setImmediate(() => response.end([...words.slice(half), piece({}, 'stop'), last].join('')))
}

function json(response, body, status = 200, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(body === '' ? '' : JSON.stringify(body))
}

function events(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
}

function piece(delta, finish_reason = null) {
  const choices = [{ index: 0, delta, finish_reason }]
  return `data: ${JSON.stringify({ object: 'chat.completion.chunk', model: 'm', choices })}\n\n`
}
