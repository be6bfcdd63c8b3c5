/** How often a long prompt is in memory (docs/design.md, the crossing), as the system counts it. */

import { type Server, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { printed } from './support/script'

const ANSWER = { choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }] }
const VECTORS = { data: [{ index: 0, embedding: [1, 2] }] }
const RESPONSE = { id: 'resp_1', object: 'response', status: 'completed', output: [] }
// More than glibc ever keeps for later once it is let go of.
const BYTES = 33 * 2 ** 20

function answerTo(url: string | undefined): object {
  if (url?.endsWith('/embeddings')) return VECTORS
  return url?.endsWith('/responses') ? RESPONSE : ANSWER
}

let server: Server
let url: string

beforeAll(async () => {
  // It keeps nothing, and answers when it has read everything.
  server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answerTo(request.url)))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
})
afterAll(() => {
  server.close()
  server.closeAllConnections()
})

/** What a call takes at most beside the prompt itself, in prompts; with limits, a cache and all else that reads it. */
const source = (unit: string, call: string): string => `
  import { CompletionRouter, EmbeddingRouter, ResponsesRouter } from 'thryd'
  const [, baseUrl] = process.argv
  const providers = [{ type: 'openai-compatible', name: 'p', baseUrl }]
  const [router, responses, embedder] = [CompletionRouter, ResponsesRouter, EmbeddingRouter].map((Router) =>
    new Router({ providers, cache: {} }).deploy('default', 'p::gpt-4o', { rpm: 1000, tpm: 1e9, maxConcurrent: 10 }))
  // What each takes the first time is not the prompt's.
  await router.invoke('default', { message: 'Hi' })
  await responses.invoke('default', { input: 'Hi' })
  await embedder.invoke('default', { input: 'Hi' })
  const prompt = Buffer.alloc(${BYTES}, ${JSON.stringify(unit)}).latin1Slice()
  const before = process.memoryUsage.rss()
  ${call}
  console.log(JSON.stringify((process.resourceUsage().maxRSS * 1024 - before) / ${BYTES}))`

/** With escapes, though not many: an addon that is not optimised looks at each of them. */
const ESCAPED = `${'word '.repeat(800)}\n`

test.runIf(process.platform === 'linux').each<[string, string, string, number]>([
  ['message', 'word ', `await router.invoke('default', { message: prompt })`, 2],
  ['message with escapes', ESCAPED, `await router.invoke('default', { message: prompt })`, 2],
  ['list', 'word ', `await router.invoke('default', { messages: [{ role: 'user', content: prompt }] })`, 2],
  ['stream', 'word ', `for await (const _ of router.stream('default', { message: prompt }));`, 2],
  ['text to embed', 'word ', `await embedder.invoke('default', { input: prompt })`, 2],
  ['response', 'word ', `await responses.invoke('default', { input: prompt })`, 2],
])("a long prompt is there twice at most beside the caller's own, in a %s", async (_, unit, call, most) => {
  // What is on its way to the socket is counted too, and is now and then a third of a prompt; another copy would be there each time.
  let copies = Infinity
  for (let tries = 0; tries < 3 && copies >= most + 0.3; tries += 1) {
    copies = Math.min(copies, (await printed(source(unit, call), url)) as number)
  }
  expect(copies).toBeGreaterThan(0.9)
  expect(copies).toBeLessThan(most + 0.3)
})
