// A server that costs as little as it can, in a process of its own: HTTP/1.1 over bare sockets, answers made beforehand.
// Whole answers are about a kilobyte, those to a numbered question two; streams are 200 chunks, sent at once, or one after
// the other for who asks for it; embeddings are 256 vectors in base64.

import { createServer } from 'node:net'

import { CHUNKS, DIMENSIONS, VECTORS, microsecondsNow } from './chunks.mjs'
import { answerOf, digits } from './conversation.mjs'

const text = 'Asynchronous code waits without blocking; synchronous code blocks while it waits. '.repeat(8).trim()
const usage = { prompt_tokens: 200, completion_tokens: 120, total_tokens: 320 }
const head = { id: 'chatcmpl-1', created: 1700000000, model: 'mock' }

const whole = respond(
  'application/json',
  JSON.stringify({
    ...head,
    object: 'chat.completion',
    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
    usage,
  }),
)
const event = (choices, rest) =>
  `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices, ...rest })}\n\n`
const piece = (content) => event([{ index: 0, delta: { content }, finish_reason: null }])
const pieces = Array.from({ length: CHUNKS }, (_, index) => piece(` word${index}`))
const end = event([{ index: 0, delta: {}, finish_reason: 'stop' }]) + event([], { usage }) + 'data: [DONE]\n\n'
const streamed = respond('text/event-stream', pieces.join('') + end)

const numbered = respond('application/json', answerOf(0))
const numberStart = numbered.indexOf(digits(0))

const vector = Buffer.from(Float32Array.from({ length: DIMENSIONS }, (_, index) => Math.sin(index)).buffer)
const vectors = Array.from({ length: VECTORS }, (_, index) => ({
  object: 'embedding',
  index,
  embedding: vector.toString('base64'),
}))
const embedded = respond('application/json', JSON.stringify({ object: 'list', data: vectors, model: 'mock', usage }))

/** The answer to the question of this number, in eight digits. */
function answer(number) {
  const copy = Buffer.from(numbered)
  copy.write(number, numberStart)
  return copy
}

function respond(type, body) {
  return Buffer.from(
    `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

const chunked = (body) => `${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n`

/** One chunk at a time, each with the time at which it goes out; the first one when the head is long gone. */
function pace(socket, milliseconds) {
  socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n')
  let sent = 0
  const begun = performance.now()
  const next = () => {
    if (socket.destroyed) return
    if (sent === CHUNKS) {
      socket.write(`${chunked(end)}0\r\n\r\n`)
      return
    }
    sent += 1
    socket.write(chunked(piece(` ${microsecondsNow()}`)))
    // From the beginning, so that a late timer delays one chunk and not all that follow.
    setTimeout(next, Math.max(0, begun + 5 + sent * milliseconds - performance.now()))
  }
  setTimeout(next, 5)
}

const server = createServer({ noDelay: true }, (socket) => {
  let pending = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.on('data', (data) => {
    pending = pending.length === 0 ? data : Buffer.concat([pending, data])
    for (;;) {
      const bodyStart = pending.indexOf('\r\n\r\n') + 4
      if (bodyStart < 4) return
      const requestHead = pending.toString('latin1', 0, bodyStart)
      const length = Number(/content-length: *(\d+)/i.exec(requestHead)?.[1] ?? 0)
      if (pending.length < bodyStart + length) return
      const body = pending.latin1Slice(bodyStart, bodyStart + length)
      const number = /question (\d{8})/.exec(body)?.[1]
      const interval = /one chunk every (\d+) ms/.exec(body)?.[1]
      if (interval) pace(socket, Number(interval))
      else if (/^POST \S*\/embeddings /.test(requestHead)) socket.write(embedded)
      else socket.write(number ? answer(number) : body.includes('"stream":true') ? streamed : whole)
      pending = pending.subarray(bodyStart + length)
    }
  })
})
server.listen(0, '127.0.0.1', 1024, () => process.send?.(server.address().port))
process.on('disconnect', () => process.exit())
