// One process of scripts/redis.mjs: a router whose limits are counted over Redis, told by its parent what to do.
import { createRequire } from 'node:module'

const { CompletionRouter } = createRequire(import.meta.url)('..')
const { redis, baseUrl, rpm, calls } = JSON.parse(process.argv[2])

const router = new CompletionRouter({
  limits: { redis },
  providers: [{ type: 'openai-compatible', name: 'mock', baseUrl, apiKey: 'k', allowInsecureHttp: true }],
  groups: {
    limited: { deployments: [{ model: 'mock::limited', rpm }] },
    warm: { deployments: ['mock::warm'] },
  },
  retry: { maxRetries: 0 },
})

const send = (message) => process.send?.(message)
let failed = 0
let answered = 0
const admitted = []

// Connections are open and code is warm before anything is measured.
await Promise.all(Array.from({ length: 20 }, () => router.invoke('warm', { message: 'Hi' }, { cache: 'no-store' })))

process.on('message', async (message) => {
  if (message === 'stats') return send({ stats: router.stats().limits.redis, answered, failed })
  if (message === 'stop') return process.exit(0)
  const ask = async () => {
    const begun = performance.timeOrigin + performance.now()
    try {
      const request = { message: 'Hi', user: String(process.pid) }
      const { queuedMs } = await router.invoke('limited', request, { cache: 'no-store', queueMs: 3_600_000 })
      answered += 1
      admitted.push(begun + queuedMs)
    } catch (error) {
      failed += 1
      send({ error: String(error?.message ?? error) })
    }
  }
  await Promise.all(Array.from({ length: calls }, ask))
  send({ done: true, admitted, answered, failed, stats: router.stats().limits.redis })
})
send({ ready: true })
