import { CompletionRouter } from 'thryd'

const router = new CompletionRouter({ cache: './llm-cache.redb' })
router.addProvider({ type: 'openai' }) // key from OPENAI_API_KEY
router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: 'http://localhost:11434/v1' })
router.deploy('default', 'openai::gpt-4o', { rpm: 60, tpm: 100_000 })
router.deploy('default', 'local::llama3')

const answer = await router.invoke('default', {
  message: 'Explain async and sync programming.',
  temperature: 0.7,
  max_completion_tokens: 200,
})
console.log(`${answer}`, answer.usage, answer.cache) // a second identical call: cache: 'memory'
