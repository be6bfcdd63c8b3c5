// A process of processes.test.ts: a router whose limits are counted over Redis, which asks as often as it is told to.
import { createRequire } from 'node:module'

const { CompletionRouter } = createRequire(import.meta.url)('../..')
const { url, leaseMs, timeoutMs, deploy } = JSON.parse(process.argv[2])

const router = new CompletionRouter({
  limits: { redis: { url, ...(leaseMs && { leaseMs }), ...(timeoutMs && { timeoutMs }) } },
  providers: [{ type: 'dummy', dummy: { latencyMs: deploy.latencyMs ?? 0 } }],
  groups: { g: { deployments: [{ model: 'dummy::m', ...deploy.limits }] } },
})
process.on('message', async ({ calls, queueMs }) => {
  const ask = () =>
    router.invoke('g', { message: 'Hi' }, { cache: 'no-store', queueMs }).then(
      () => 1,
      () => 0,
    )
  const answers = await Promise.all(Array.from({ length: calls }, ask))
  process.send({ answered: answers.reduce((sum, each) => sum + each, 0), redis: router.stats().limits.redis })
})
process.send({ ready: true })
