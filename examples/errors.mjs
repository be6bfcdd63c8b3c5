// How calls fail, and how to tell the failures apart.

import { CompletionRouter, ExhaustedError, ProviderError, RateLimitError, ThrydError, TimeoutError } from 'thryd'

const failing = (error) => ({ responses: [{ error }], repeat: true })
const router = new CompletionRouter({
  providers: [
    { type: 'dummy', name: 'refuses', dummy: failing({ status: 400, message: 'temperature must be at most 2' }) },
    { type: 'dummy', name: 'down', dummy: failing({ status: 503, message: 'overloaded' }) },
    { type: 'dummy', name: 'slow', dummy: { latencyMs: 10_000 } },
    { type: 'dummy', name: 'echo' },
  ],
  retry: { baseDelayMs: 10, cooldownMs: 100 },
})
for (const name of ['refuses', 'down', 'slow']) router.deploy(name, `${name}::model`)
router.deploy('limited', 'echo::model', { rpm: 1 })

async function show(title, call) {
  try {
    console.log(`${title}: ${await call()}`)
  } catch (error) {
    console.log(`${title}: ${describe(error)}`)
  }
}

function describe(error) {
  if (error instanceof RateLimitError) return `no room; try again in ${Math.ceil(error.retryAfterMs / 1000)} s`
  if (error instanceof TimeoutError) return `too slow (${error.phase}): ${error.message}`
  if (error instanceof ProviderError) return `${error.deployment} said ${error.status}: ${error.message}`
  if (error instanceof ExhaustedError) return `${error.errors.length} attempts failed: ${error.message}`
  if (ThrydError.is(error)) return `${error.code}: ${error.message}`
  return `${error.name}: ${error.message}`
}

const ask = (group, options) => () => router.invoke(group, { message: 'Hi' }, options)
await show('refused by the provider', ask('refuses'))
await show('down', ask('down'))
await show('too slow', ask('slow', { totalMs: 50 }))
await show('within the limit', ask('limited'))
await show('over the limit', () => router.invoke('limited', { message: 'Hi again' }, { queueMs: 0 }))
await show('cancelled', ask('slow', { signal: AbortSignal.timeout(50) }))
await show('unknown group', ask('nobody'))
await show('no message', () => router.invoke('limited', {}))
await show('bad option', ask('limited', { retries: 3 }))
await show('bad limit', () => router.deploy('limited', 'echo::other', { rpm: 0 }))
