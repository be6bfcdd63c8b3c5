// A route that answers OpenAI's chat completions from another server: `toFetch` against what one would write with `fetch`. The
// handler is called in this process, as a server would call it; the server behind it is a process of its own.
//
//   npm run bench
//   node benchmark/gateway.mjs

import { createRequire } from 'node:module'

import { CHUNKS, every } from './chunks.mjs'
import { contest } from './contest.mjs'
import { atOnce } from './loops.mjs'
import { introduce, startMock } from './machine.mjs'

const require = createRequire(import.meta.url)
const { CompletionRouter } = require('..')
const { toFetch } = require('../dist/fetch/index.js')
const { baseUrl, stop } = await startMock()
const providers = [{ type: 'openai-compatible', name: 'mock', baseUrl, apiKey: 'none', allowInsecureHttp: true }]
const router = new CompletionRouter({ providers }).deploy('default', 'mock::model')

/** What one would write: the model's own name, the host's key, and what is said handed on as it comes. */
async function byHand(request) {
  const body = { ...(await request.json()), model: 'model' }
  const { signal } = request
  const headers = { 'content-type': 'application/json', authorization: 'Bearer none' }
  const answer = await fetch(`${baseUrl}/chat/completions`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
    signal,
  })
  const type = answer.headers.get('content-type') ?? 'application/json'
  return new Response(answer.body, { status: answer.status, headers: { 'content-type': type } })
}

const handlers = [
  { name: 'thryd/fetch', handler: toFetch({ completion: router }) },
  { name: 'a route by hand', handler: byHand },
]

// Every question is new, so that nobody joins another's answer.
let asked = 0
const requestOf = (how, stream) =>
  new Request('http://localhost/v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer client' },
    body: JSON.stringify({
      model: 'default',
      messages: [{ role: 'user', content: `Explain it, ${how} (${(asked += 1)})` }],
      ...(stream && { stream }),
    }),
  })

/** One answer, read as a server writes it: piece by piece. */
async function answered(handler, how, stream) {
  const response = await handler(requestOf(how, stream))
  let last = ''
  for await (const bytes of response.body) last = bytes
  if (response.status !== 200 || last.length === 0) throw new Error(`${response.status}`)
  if (stream && !Buffer.from(last).includes('[DONE]')) throw new Error('a stream that did not end')
  return stream ? CHUNKS : 1
}

const contestants = (width, how, stream) =>
  handlers.map(({ name, handler }) => ({ name, run: atOnce(width, () => answered(handler, how, stream)) }))

introduce()
await contest('a route: whole answers, one after the other', 'request', contestants(1, 'at once', false))
await contest('a route: whole answers, 64 at a time', 'request', contestants(64, 'at once', false))
await contest(`a route: a stream of ${CHUNKS} chunks, server sends at once`, 'chunk', contestants(1, 'at once', true))
await contest(`a route: a stream of ${CHUNKS} chunks, one every millisecond`, 'chunk', contestants(1, every(1), true))
await router.close()
stop()
process.exit()
