// Loads the package under the Node that runs this, and asks the dummy: for every Node that it is for, also those that the
// test runner does not support.
import assert from 'node:assert/strict'

import { CompletionRouter, EmbeddingRouter } from 'thryd'

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
console.log(`thryd works under Node ${process.version} on ${process.platform}-${process.arch}`)
