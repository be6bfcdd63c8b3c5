// OpenAI's Responses API: whole, streamed, and going on from an earlier answer. Offline: the dummy echoes.

import { ResponsesRouter } from 'thryd'

const router = new ResponsesRouter({
  providers: [
    { type: 'dummy', name: 'one' },
    { type: 'dummy', name: 'two' },
  ],
  groups: {
    default: { strategy: 'first-available', deployments: ['one::m', 'two::m'] },
    second: { deployments: ['two::m'] },
  },
})

const answer = await router.invoke('second', { instructions: 'Be brief.', input: 'What is tea?' })
console.log(answer.outputText, answer.id, answer.deployment)

// What a provider keeps, only that provider is asked to go on from.
const next = await router.invoke('default', { input: 'And coffee?', previous_response_id: answer.id })
console.log(next.outputText, next.deployment)

const stream = router.stream('default', { input: 'It comes piece by piece.' })
for await (const chunk of stream) if (chunk.type === 'content') process.stdout.write(`${chunk.delta}|`)
const { status, usage } = await stream.response()
console.log(` ${status}, ${usage.totalTokens} tokens`)
