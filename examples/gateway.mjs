// OpenAI's API from your own process: any client can be pointed at it, and gets limits, failover and the cache.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { CompletionRouter } from 'thryd'
import { toFetch } from 'thryd/fetch'

import { startServer } from './demo/server.mjs'

const provider = await startServer()
const completion = new CompletionRouter({ cache: {} })
completion.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: provider.url })
completion.deploy('default', 'local::swift', { rpm: 100 })

const handler = toFetch({
  completion,
  // The client's key ends here; providers get their own.
  authorize: (request) => request.headers.get('authorization') === 'Bearer team-key',
})

// Between node:http and fetch. Frameworks that speak fetch themselves (Next.js, Hono) need none of this.
const server = createServer(async (incoming, outgoing) => {
  const { method, url, headers } = incoming
  const left = new AbortController()
  outgoing.on('close', () => left.abort())
  const body = method === 'GET' ? undefined : Readable.toWeb(incoming)
  const init = { method, headers, body, duplex: 'half', signal: left.signal }
  try {
    const response = await handler(new Request(`http://${headers.host}${url}`, init))
    // A body that was refused unread is in the way of the next request.
    if (!incoming.complete) outgoing.setHeader('connection', 'close')
    outgoing.writeHead(response.status, Object.fromEntries(response.headers))
    await pipeline(response.body, outgoing)
  } catch {
    // The client left, or the answer broke: it must not look like an end.
    outgoing.destroy()
  }
})
await once(server.listen(0, '127.0.0.1'), 'listening')
const base = `http://127.0.0.1:${server.address().port}/v1`

const ask = (body, key = 'team-key') =>
  fetch(`${base}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: 'default', messages: [{ role: 'user', content: 'three small words' }], ...body }),
  })

const answer = await ask({})
const { choices } = await answer.json()
console.log(`${choices[0].message.content} (${answer.headers.get('x-thryd-deployment')})`)

const streamed = await ask({ stream: true })
console.log(`once more, streamed, from: ${streamed.headers.get('x-thryd-cache')}`)
process.stdout.write(await streamed.text())

const refused = await ask({}, 'no key')
console.log(refused.status, (await refused.json()).error.message)

server.close()
server.closeAllConnections()
await completion.close()
await provider.close()
