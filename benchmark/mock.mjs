// A server that costs as little as it can, in a process of its own: HTTP/1.1 over bare sockets, answers made beforehand.
// Whole answers are about a kilobyte; streams are 200 chunks, sent at once.

import { createServer } from 'node:net'

import { CHUNKS } from './chunks.mjs'

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
      const wantsStream = pending.subarray(bodyStart, bodyStart + length).includes('"stream":true')
      socket.write(wantsStream ? streamed : whole)
      pending = pending.subarray(bodyStart + length)
    }
  })
})
server.listen(0, '127.0.0.1', () => process.send?.(server.address().port))
process.on('disconnect', () => process.exit())
