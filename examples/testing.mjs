// Proves that a router survives what providers do: against a server that fails on demand, on a real socket.

import { CompletionRouter } from 'thryd'
import { FaultServer } from 'thryd/testing'

const server = await FaultServer.start({ seed: 7, tokenIntervalMs: 2 })
const router = new CompletionRouter({
  providers: [server.provider('faulty')],
  retry: { baseDelayMs: 5, cooldownMs: 50 },
  timeouts: { firstTokenMs: 200, idleMs: 200 },
})

// A model that is named like a fault has it.
for (const fault of ['status-503', 'reset', 'hang', 'cut', 'malformed']) {
  router.deploy(fault, `faulty::${fault}`).deploy(fault, 'faulty::ok')
  router.configureGroup(fault, { strategy: 'first-available' })
  const stream = router.stream(fault, { message: 'to be or not to be' }, { buffer: true })
  const { content, attempts } = await stream.completion()
  console.log(`${fault}: "${content}" after ${attempts.map(({ outcome }) => outcome).join(', ')}`)
}

// An outage, while calls are made.
router.deploy('pair', 'faulty::first').deploy('pair', 'faulty::second')
router.configureGroup('pair', { strategy: 'first-available' })
const who = async () => (await router.invoke('pair', { message: 'who?' })).deployment
console.log(`before the outage: ${await who()}`)
server.outage('status-500', 'first')
console.log(`in the outage: ${await who()}`)
server.recover()

// A caller who leaves: the server sees the connection close.
server.script('first', { content: 'one of very many words '.repeat(100) })
server.script('second', { content: 'one of very many words '.repeat(100) })
for await (const chunk of router.stream('pair', { message: 'go on' })) {
  if (chunk.type === 'content') break
}
const left = server.requests.at(-1)
await server.waitFor(() => left.endedBy === 'client')
console.log(`the reader left ${left.model} after ${left.tokens} of 500 tokens`)
console.log('all in all:', server.counts.served)

await router.close()
await server.close()
