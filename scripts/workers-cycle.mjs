// One worker of `workers.mjs`: loads thryd, uses it, and ends as it is told to.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'

import { CompletionRouter, EmbeddingRouter, countTokens, countTokensAsync } from 'thryd'

const { url, folder, number, end } = workerData
const check = (isSo, what) => {
  if (!isSo) throw new Error(`cycle ${number}: ${what}`)
}
const quiet = () => undefined
const local = { type: 'openai-compatible', name: 'local', baseUrl: url }
const mine = { name: 'mine', complete: async (request) => `heard ${request.messages.at(-1).content}` }
const cache = { path: join(folder, 'cache.redb'), maxBytes: 8 << 20, memoryBytes: 1 << 20 }

const router = new CompletionRouter({ providers: [local, mine], cache })
router.deploy('default', 'local::a', { tpm: 10_000_000 }).deploy('slow', 'local::d').deploy('mine', 'mine::m')
const message = `the question of cycle ${number}`
const { signal } = new AbortController()

const answer = await router.invoke('default', { message }, { signal })
check(answer.content === message && answer.cache === 'miss', `${answer.content} (${answer.cache})`)
check((await router.invoke('default', { message })).cache === 'memory', 'it was not kept')
let content = ''
for await (const chunk of router.stream('slow', { message: `${message} in pieces` }, { signal })) content += chunk.delta
check(content === `${message} in pieces`, content)
check((await router.invoke('mine', { message })).content === `heard ${message}`, 'the custom provider was not heard')
let results = 0
for await (const result of router.invokeMany(
  'default',
  [1, 2, 3].map((n) => ({ message: `${message}, part ${n}` })),
))
  if (!(result instanceof Error)) results += 1
check(results === 3, `${results} of a batch`)
const embedder = new EmbeddingRouter({ providers: [local] }).deploy('default', 'local::a')
check((await embedder.invoke('default', { input: [message] })).vectors.length === 1, 'no vector')
check(countTokens(message) === (await countTokensAsync(message)), 'two counts differ')

if (end === 'close') await Promise.all([router.close(), embedder.close()])
if (end === 'terminate') {
  // In the middle of a call, a stream, a write, a count and a custom provider's answer.
  router.addProvider({ name: 'mute', complete: () => new Promise(quiet) }).deploy('mute', 'mute::m')
  void router.invoke('mute', { message }).catch(quiet)
  const reader = router.stream('slow', { message: `${message}, left` }, { signal })[Symbol.asyncIterator]()
  void reader.next().catch(quiet)
  void router.invoke('default', { message: `${message}, left` }, { signal }).catch(quiet)
  void countTokensAsync(message.repeat(1000)).catch(quiet)
  void router.cache.flush().catch(quiet)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  parentPort.postMessage('under way')
  await sleep(60_000)
}
if (end === 'exit') process.exit(0)
