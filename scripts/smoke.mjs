// Loads the package under the Node that runs this, and asks the dummy: for every Node that it is for, also those that the
// test runner does not support.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { CompletionRouter, EmbeddingRouter, countTokens } from 'thryd'
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

// In a file, which a router of another process would find.
const folder = mkdtempSync(join(tmpdir(), 'thryd-'))
const file = join(folder, 'cache.redb')
const kept = new CompletionRouter({ providers, cache: file }).deploy('default', 'dummy::echo')
assert.equal((await kept.invoke('default', { message: 'Hello' })).cache, 'miss')
await kept.close()
assert.ok(statSync(file).size > 0)
rmSync(folder, { recursive: true })

assert.equal(countTokens('Hello world', 'gpt-4o'), 2)

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
