// thryd against its peers on this machine: requests, streams, token counts. Caches: cache.mjs.
//
//   npm run bench

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

import { CHUNKS } from './chunks.mjs'
import { contest } from './contest.mjs'
import { atOnce, inTurn } from './loops.mjs'
import { introduce, startMock } from './machine.mjs'
import { peer } from './peers.mjs'

const IN_FLIGHT = 64
const STREAMS = 16

const require = createRequire(import.meta.url)
const { CompletionRouter, countTokens } = require('..')

const { baseUrl, stop } = await startMock()
const router = new CompletionRouter()
router.addProvider({ type: 'openai-compatible', name: 'mock', baseUrl })
router.deploy('default', 'mock::model')

// Every question is new: nobody may answer it from memory, or join it.
let asked = 0
const padding = 'Please explain in your own words, and give an example of each. '.repeat(12)
const question = () => `${padding}(${(asked += 1)})`
const body = (message, rest) => ({
  model: 'model',
  messages: [{ role: 'user', content: message }],
  max_completion_tokens: 200,
  ...rest,
})

introduce()

await contest(`whole answers of 1 KB, ${IN_FLIGHT} in flight, server answers at once`, 'request', [
  {
    name: 'thryd',
    run: atOnce(IN_FLIGHT, async () => {
      const answer = await router.invoke('default', { message: question(), max_completion_tokens: 200 })
      return answer.content.length > 0 ? 1 : 0
    }),
  },
  await peer(['undici'], ({ Pool }) => {
    const pool = new Pool(new URL(baseUrl).origin, { connections: IN_FLIGHT })
    return atOnce(IN_FLIGHT, async () => {
      const headers = { 'content-type': 'application/json' }
      const response = await pool.request({
        path: '/v1/chat/completions',
        method: 'POST',
        headers,
        body: JSON.stringify(body(question())),
      })
      return (await response.body.json()).choices[0].message.content.length > 0 ? 1 : 0
    })
  }),
  await peer(['openai'], ({ default: OpenAI }) => {
    const client = new OpenAI({ apiKey: 'none', baseURL: baseUrl })
    return atOnce(IN_FLIGHT, async () => {
      const completion = await client.chat.completions.create(body(question()))
      return completion.choices[0].message.content.length > 0 ? 1 : 0
    })
  }),
  await peer(['ai', '@ai-sdk/openai-compatible'], ({ generateText }, { createOpenAICompatible }) => {
    const model = createOpenAICompatible({ name: 'mock', baseURL: baseUrl })('model')
    return atOnce(IN_FLIGHT, async () => {
      const { text } = await generateText({ model, prompt: question(), maxOutputTokens: 200 })
      return text.length > 0 ? 1 : 0
    })
  }),
])

await contest(`streams of ${CHUNKS} chunks, ${STREAMS} at once, server sends at once`, 'chunk', [
  {
    name: 'thryd',
    run: atOnce(STREAMS, async () => {
      let chunks = 0
      for await (const chunk of router.stream('default', { message: question() }))
        chunks += chunk.type === 'content' ? 1 : 0
      return chunks
    }),
  },
  await peer(['openai'], ({ default: OpenAI }) => {
    const client = new OpenAI({ apiKey: 'none', baseURL: baseUrl })
    return atOnce(STREAMS, async () => {
      let chunks = 0
      const stream = await client.chat.completions.create(body(question(), { stream: true }))
      for await (const chunk of stream) chunks += chunk.choices[0]?.delta.content ? 1 : 0
      return chunks
    })
  }),
  await peer(['ai', '@ai-sdk/openai-compatible'], ({ streamText }, { createOpenAICompatible }) => {
    const model = createOpenAICompatible({ name: 'mock', baseURL: baseUrl })('model')
    return atOnce(STREAMS, async () => {
      let chunks = 0
      for await (const delta of streamText({ model, prompt: question() }).textStream) chunks += delta ? 1 : 0
      return chunks
    })
  }),
])

// Texts as prompts are, about 2 KB each, all different.
const words = readFileSync(new URL('../docs/design.md', import.meta.url), 'utf8')
const texts = Array.from({ length: 64 }, (_, index) => words.slice(index * 100, index * 100 + 2000))
await contest('token counts, o200k_base, English of 2 KB', 'text', [
  { name: 'thryd', run: inTurn((index) => countTokens(texts[index % 64], 'o200k_base')) },
  await peer(['gpt-tokenizer'], (tokenizer) => {
    const differing = texts.filter((text) => tokenizer.countTokens(text) !== countTokens(text, 'o200k_base'))
    if (differing.length > 0) throw new Error(`it counts ${differing.length} of ${texts.length} texts differently`)
    return inTurn((index) => tokenizer.countTokens(texts[index % 64]))
  }),
])

await router.close()
stop()
process.exit()
