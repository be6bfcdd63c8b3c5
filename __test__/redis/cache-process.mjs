// A process of cache.test.ts: a router whose cache is in Redis, which does what it is told.
import { createRequire } from 'node:module'

const { CompletionRouter } = createRequire(import.meta.url)('../..')
const { cache, baseUrl } = JSON.parse(process.argv[2])

const router = new CompletionRouter({
  cache,
  retry: { maxRetries: 0 },
  providers: [{ type: 'openai-compatible', name: 'local', baseUrl }],
  groups: { g: { deployments: ['local::m'] } },
})

/** What came of one thing. */
async function act(verb, parameters) {
  if (verb === 'stats') return router.stats().cache
  if (verb === 'clear') return await router.cache.clear(...parameters)
  const [message] = parameters
  const begun = performance.now()
  if (verb === 'stream') {
    let text = ''
    for await (const { delta } of router.stream('g', { message })) text += delta ?? ''
    return { text }
  }
  const answer = await router.invoke('g', { message })
  return { text: `${answer}`, cache: answer.cache, tookMs: performance.now() - begun }
}
process.on('message', async ({ id, verb, parameters }) => {
  const said = await act(verb, parameters).catch((error) => ({ code: error.code }))
  // One that asks once and ends leaves its answer behind all the same.
  process.send({ id, said: said ?? {} }, () => verb === 'last' && process.exit())
})
process.send({ ready: true })
