// What the mock server answers. Whole answers are about a kilobyte, those to a numbered question two; streams are 200 chunks,
// sent at once, or one after the other for who asks for it; embeddings are 256 vectors in base64.

import { CHUNKS, DIMENSIONS, VECTORS } from './chunks.mjs'
import { answerOf } from './conversation.mjs'

const text = 'Asynchronous code waits without blocking; synchronous code blocks while it waits. '.repeat(8).trim()
const usage = { prompt_tokens: 200, completion_tokens: 120, total_tokens: 320 }
const head = { id: 'chatcmpl-1', created: 1700000000, model: 'mock' }

const whole = JSON.stringify({
  ...head,
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
  usage,
})

const event = (choices, rest) =>
  `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices, ...rest })}\n\n`
const piece = (content) => event([{ index: 0, delta: { content }, finish_reason: null }])
const pieces = Array.from({ length: CHUNKS }, (_, index) => piece(` word${index}`))
const end = `${event([{ index: 0, delta: {}, finish_reason: 'stop' }])}${event([], { usage })}data: [DONE]\n\n`
// Where the server puts the time.
const [before, after] = piece('|').split('|')

const vector = Buffer.from(Float32Array.from({ length: DIMENSIONS }, (_, index) => Math.sin(index)).buffer)
const embedding = vector.toString('base64')
const data = Array.from({ length: VECTORS }, (_, index) => ({ object: 'embedding', index, embedding }))

function respond(type, body) {
  return `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

const answers = {
  whole: respond('application/json', whole),
  streamed: respond('text/event-stream', pieces.join('') + end),
  embedded: respond('application/json', JSON.stringify({ object: 'list', data, model: 'mock', usage })),
  numbered: respond('application/json', answerOf(0)),
  head: 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n',
  before,
  after,
  end,
}

/** All of them as the server reads them: a line with the name and the length, then the bytes. */
export function bodies() {
  const each = Object.entries(answers).map(([name, body]) => `${name} ${Buffer.byteLength(body)}\n${body}`)
  return `${each.join('')}chunks ${CHUNKS}\n`
}
