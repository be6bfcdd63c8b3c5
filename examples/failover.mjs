// One deployment is down, another takes over; a fallback group stands behind both.

import { CompletionRouter } from 'thryd'

const router = new CompletionRouter({
  providers: [
    {
      type: 'dummy',
      name: 'down',
      dummy: { responses: [{ error: { status: 503, message: 'overloaded' } }], repeat: true },
    },
    {
      type: 'dummy',
      name: 'limited',
      dummy: { responses: ['I had one answer.', { error: { status: 429, retryAfterMs: 60_000 } }] },
    },
    { type: 'dummy', name: 'spare', dummy: { responses: ['The spare answers.'], repeat: true } },
  ],
  groups: {
    main: { strategy: 'first-available', deployments: ['down::model', 'limited::model'], fallbacks: ['backup'] },
    backup: { deployments: ['spare::model'] },
  },
  retry: { baseDelayMs: 10 },
})

for (const message of ['first question', 'second question']) {
  const answer = await router.invoke('main', { message }, { queueMs: 0 })
  console.log(`${message}: "${answer}" from ${answer.deployment}`)
  for (const { deployment, outcome, status } of answer.attempts)
    console.log(`  ${deployment}: ${outcome} ${status ?? ''}`)
}

for (const { model, circuit, restMs, lastError } of router.stats().groups.main.deployments) {
  console.log(`${model}: circuit ${circuit}, rests for ${Math.round(restMs)} ms, last error: ${lastError ?? 'none'}`)
}
