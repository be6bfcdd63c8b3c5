// OpenAI's SDK over a router: `fetch` is all that changes. Nothing listens, no key is needed.

import OpenAI, { NotFoundError } from 'openai'
import { CompletionRouter, EmbeddingRouter, ResponsesRouter } from 'thryd'
import { toFetch } from 'thryd/fetch'

const providers = [{ type: 'dummy', dummy: { cache: true } }]
const completion = new CompletionRouter({ providers, cache: {} }).deploy('default', 'dummy::echo', { rpm: 60 })
const embedding = new EmbeddingRouter({ providers }).deploy('vectors', 'dummy::vectors')
const responses = new ResponsesRouter({ providers }).deploy('default', 'dummy::echo')

const openai = new OpenAI({
  baseURL: 'http://thryd.local/v1',
  apiKey: 'unused',
  fetch: toFetch({ completion, embedding, responses }),
  // The router tries again, and elsewhere.
  maxRetries: 0,
})

// `model` is the group.
const ask = (content) => ({ model: 'default', messages: [{ role: 'user', content }] })
for (let time = 1; time <= 2; time += 1) {
  const { data, response } = await openai.chat.completions.create(ask('three small words')).withResponse()
  console.log(`${data.choices[0].message.content} (cache: ${response.headers.get('x-thryd-cache')})`)
}

const stream = await openai.chat.completions.create({ ...ask('it comes piece by piece'), stream: true })
for await (const { choices } of stream) process.stdout.write(`${choices[0]?.delta.content ?? ''}|`)
console.log()

const { output_text } = await openai.responses.create({ model: 'default', input: 'a response' })
console.log(output_text)

const { data } = await openai.embeddings.create({ model: 'vectors', input: ['one text', 'another'] })
console.log(`${data.length} vectors of ${data[0].embedding.length} numbers`)

try {
  await openai.chat.completions.create({ ...ask('Hello'), model: 'nobody' })
} catch (error) {
  console.log(error instanceof NotFoundError, error.message)
}
