// A completion. The dummy provider answers with an echo, without a network.

import { CompletionRouter } from 'thryd'

const router = new CompletionRouter()
router.addProvider({ type: 'dummy' })
router.deploy('default', 'dummy::echo', { rpm: 60, tpm: 10_000 })

const answer = await router.invoke('default', { message: 'Explain async and sync programming.', temperature: 0.7 })
console.log(`${answer}`)
console.log(
  `answered by ${answer.deployment} for ${answer.usage.totalTokens} tokens; ended by "${answer.finishReason}"`,
)

// The same with a conversation. Fields that thryd does not know travel to the provider as they are.
const { content } = await router.invoke('default', {
  messages: [
    { role: 'system', content: 'You are terse.' },
    { role: 'user', content: 'And threads?' },
  ],
  max_completion_tokens: 200,
})
console.log(content)
