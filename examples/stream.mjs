// An answer piece by piece, from the demo server.

import { CompletionRouter } from 'thryd'

import { startServer } from './demo/server.mjs'

const server = await startServer()
const router = new CompletionRouter()
router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
router.deploy('default', 'local::swift')

const stream = router.stream('default', { message: 'a sentence that comes back word by word' })
for await (const chunk of stream) {
  if (chunk.type === 'content') process.stdout.write(chunk.delta)
}
const whole = await stream.completion()
console.log(`\n(${whole.usage.totalTokens} tokens, ${whole.deployment})`)

// Leaving the loop cancels the call and closes the socket.
for await (const chunk of router.stream('default', { message: 'an answer that nobody reads to its end' })) {
  console.log(`the first piece is ${JSON.stringify(chunk)}; that is enough`)
  break
}

await router.close()
await server.close()
