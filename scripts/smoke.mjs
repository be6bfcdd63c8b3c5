// Loads the package under the Node that runs this, and asks the dummy: for every Node that it is for, also those that the
// test runner does not support.
import assert from 'node:assert/strict'

import { CompletionRouter, EmbeddingRouter } from 'thryd'
import { FaultServer } from 'thryd/testing'

const providers = [{ type: 'dummy', dummy: { cache: true } }]
const router = new CompletionRouter({ providers, cache: {} }).deploy('default', 'dummy::echo')
const answer = await router.invoke('default', { message: 'Hello' })
assert.equal(`${answer}`, 'Hello')
assert.equal((await router.invoke('default', { message: 'Hello' })).cache, 'memory')

let text = ''
for await (const chunk of router.stream('default', { message: 'one two three' })) text += chunk.delta
assert.equal(text, 'one two three')

const embedder = new EmbeddingRouter({ providers }).deploy('default', 'dummy::echo')
const { vectors } = await embedder.invoke('default', { input: ['a', 'b'] })
assert.equal(vectors.length, 2)

await assert.rejects(router.invoke('default', {}), TypeError)

const server = await FaultServer.start()
const failing = new CompletionRouter({ providers: [server.provider()], retry: { baseDelayMs: 0 } })
failing
  .deploy('default', 'faulty::reset')
  .deploy('default', 'faulty::ok')
  .configureGroup('default', { strategy: 'first-available' })
assert.equal((await failing.invoke('default', { message: 'Hello' })).deployment, 'faulty::ok')
await server.close()

console.log(`thryd works under Node ${process.version} on ${process.platform}-${process.arch}`)
