// A server that costs as little as it can, in a process of its own: HTTP/1.1 over bare sockets, answers made beforehand.
// Whole answers are about a kilobyte, those to a numbered question two; streams are 200 chunks, sent at once.

import { createServer } from 'node:net'

import { CHUNKS } from './chunks.mjs'
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
const pieces = Array.from({ length: CHUNKS }, (_, index) =>
  event([{ index: 0, delta: { content: ` word${index}` }, finish_reason: null }]),
)
const end = event([{ index: 0, delta: {}, finish_reason: 'stop' }]) + event([], { usage }) + 'data: [DONE]\n\n'
const streamed = respond('text/event-stream', pieces.join('') + end)

const numbered = respond('application/json', answerOf(0))
const numberStart = numbered.indexOf(digits(0))

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

const server = createServer({ noDelay: true }, (socket) => {
  let pending = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.on('data', (data) => {
    pending = pending.length === 0 ? data : Buffer.concat([pending, data])
    for (;;) {
      const bodyStart = pending.indexOf('\r\n\r\n') + 4
      if (bodyStart < 4) return
      const length = Number(/content-length: *(\d+)/i.exec(pending.toString('latin1', 0, bodyStart))?.[1] ?? 0)
      if (pending.length < bodyStart + length) return
      const body = pending.latin1Slice(bodyStart, bodyStart + length)
      const number = /question (\d{8})/.exec(body)?.[1]
      socket.write(number ? answer(number) : body.includes('"stream":true') ? streamed : whole)
      pending = pending.subarray(bodyStart + length)
    }
  })
})
server.listen(0, '127.0.0.1', () => process.send?.(server.address().port))
process.on('disconnect', () => process.exit())
