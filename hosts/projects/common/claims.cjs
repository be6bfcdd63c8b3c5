'use strict'

// What thryd is to do wherever it runs, whichever way it was loaded. Nothing here is closed but what is to be found on disk again:
// whoever asks ends by itself.

const assert = require('node:assert/strict')
const { mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')

const providers = [{ type: 'dummy', dummy: { cache: true } }]
const request = { message: 'one two three' }

async function read(stream) {
  let text = ''
  for await (const chunk of stream) if (chunk.type === 'content') text += chunk.delta
  return text
}

/** Without a socket. */
async function dummies({ CompletionRouter, EmbeddingRouter, RerankRouter, countTokens }) {
  const router = new CompletionRouter({ providers, cache: {} }).deploy('default', 'dummy::echo')
  assert.equal((await router.invoke('default', request)).content, 'one two three')
  assert.equal((await router.invoke('default', request)).cache, 'memory')
  assert.equal(await read(router.stream('default', { message: 'four five' })), 'four five')
  await assert.rejects(router.invoke('default', {}), TypeError)
  const controller = new AbortController()
  const aborted = router.invoke('default', { message: 'six' }, { signal: controller.signal, cache: 'no-store' })
  controller.abort(new Error('enough'))
  await assert.rejects(aborted, /enough/)

  const embedder = new EmbeddingRouter({ providers }).deploy('default', 'dummy::echo')
  const { vectors } = await embedder.invoke('default', { input: ['a', 'b'] })
  assert.equal(vectors.length, 2)
  assert.ok(vectors[0] instanceof Float32Array)
  const reranker = new RerankRouter({ providers }).deploy('default', 'dummy::echo')
  const { results } = await reranker.invoke('default', { query: 'tea', documents: ['coffee', 'green tea'] })
  assert.equal(results[0].index, 1)
  assert.ok(countTokens('Hello, world', 'gpt-4o') > 0)
}

/** Over a socket, and one that fails. */
async function sockets({ CompletionRouter, EmbeddingRouter, ProviderError }, { FaultServer }) {
  const server = await FaultServer.start()
  try {
    const options = { providers: [server.provider('faulty')], retry: { baseDelayMs: 0 } }
    const router = new CompletionRouter(options)
    router.deploy('default', 'faulty::reset').deploy('default', 'faulty::ok').deploy('hanging', 'faulty::hang')
    router.deploy('refusing', 'faulty::status-400').configureGroup('default', { strategy: 'first-available' })
    const answer = await router.invoke('default', request)
    assert.equal(answer.content, 'one two three')
    assert.equal(answer.deployment, 'faulty::ok')
    assert.equal(await read(router.stream('default', { message: 'four five' })), 'four five')
    await assert.rejects(router.invoke('refusing', request), ProviderError)
    const embedder = new EmbeddingRouter(options).deploy('default', 'faulty::ok')
    assert.equal((await embedder.invoke('default', { input: ['a', 'b'] })).vectors.length, 2)

    const before = server.requests.length
    const controller = new AbortController()
    const hanging = router.invoke('hanging', request, { signal: controller.signal })
    await Promise.all([
      assert.rejects(hanging, { name: 'AbortError' }),
      server.waitFor(() => server.requests.length > before).then(() => controller.abort()),
    ])
    await server.waitFor(() => server.requests[before].endedBy === 'client')
  } finally {
    await server.close()
  }
}

async function gateway({ CompletionRouter }, { toFetch }) {
  const router = new CompletionRouter({ providers }).deploy('default', 'dummy::echo')
  const handler = toFetch({ completion: router })
  const ask = (more) => {
    const body = JSON.stringify({ model: 'default', messages: [{ role: 'user', content: 'Hello' }], ...more })
    const headers = { 'content-type': 'application/json' }
    return handler(new Request('http://thryd.local/v1/chat/completions', { method: 'POST', headers, body }))
  }
  const whole = await ask()
  assert.equal(whole.status, 200)
  assert.equal((await whole.json()).choices[0].message.content, 'Hello')
  assert.match(await (await ask({ stream: true })).text(), /data: \[DONE\]/)
}

async function disk({ Cache, CompletionRouter }) {
  const folder = mkdtempSync(join(tmpdir(), 'thryd-host-'))
  try {
    const ask = async () => {
      const cache = await Cache.open({ path: join(folder, 'cache.redb') })
      const router = new CompletionRouter({ providers, cache }).deploy('default', 'dummy::echo')
      const answer = await router.invoke('default', request)
      await router.close()
      await cache.close()
      return answer.cache
    }
    assert.equal(await ask(), 'miss')
    assert.equal(await ask(), 'disk')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const parts = { dummies, sockets, gateway, disk }

exports.claims = async (thryd, fetch, testing, only = Object.keys(parts)) => {
  if (only.includes('dummies')) await dummies(thryd)
  if (only.includes('sockets')) await sockets(thryd, testing)
  if (only.includes('gateway')) await gateway(thryd, fetch)
  if (only.includes('disk')) await disk(thryd)
  console.log('works')
}
