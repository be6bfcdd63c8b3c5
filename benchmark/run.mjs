// thryd against its peers on this machine: requests, streams, memory hits, token counts.
//
//   npm run bench

import { createHash } from 'node:crypto'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, cpus } from 'node:os'

import { contest } from './contest.mjs'
import { CHUNKS } from './chunks.mjs'

const IN_FLIGHT = 64
const STREAMS = 16

const require = createRequire(import.meta.url)
const { CompletionRouter, countTokens } = require('..')

const mock = fork(new URL('mock.mjs', import.meta.url))
const [port] = await once(mock, 'message')
const baseUrl = `http://127.0.0.1:${port}/v1`

const router = new CompletionRouter()
router.addProvider({ type: 'openai-compatible', name: 'mock', baseUrl })
router.deploy('default', 'mock::model')

const peers = Object.fromEntries(
  await Promise.all(['openai', 'ai', '@ai-sdk/openai-compatible', 'undici', 'lru-cache', 'gpt-tokenizer'].map(load)),
)

/** A peer, or why there is none. */
async function load(name) {
  try {
    return [name, { module: await import(name), version: versionOf(name) }]
  } catch (error) {
    return [name, { missing: error.message.split('\n')[0] }]
  }
}

function versionOf(name) {
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version
}

/** A contestant made of these peers, if they are there. */
function peer(names, make) {
  const missing = names.map((name) => peers[name].missing).find(Boolean)
  const name = names[0]
  if (missing) return { name, missing }
  try {
    return { name: `${name} ${peers[name].version}`, run: make(...names.map((each) => peers[each].module)) }
  } catch (error) {
    return { name, missing: error.message }
  }
}

/** Keeps `width` of `act` under way until time is up. */
function atOnce(width, act) {
  return async (isOver) => {
    let done = 0
    const worker = async () => {
      while (!isOver()) {
        // Not `done += await act()`, which would add to what `done` was before the wait.
        const count = await act()
        done += count
      }
    }
    await Promise.all(Array.from({ length: width }, worker))
    return done
  }
}

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

// An optimised addon has about 10 MB, one of build:dev several times that.
const addon = readdirSync(new URL('..', import.meta.url)).find((name) => name.endsWith('.node'))
if (addon && statSync(new URL(`../${addon}`, import.meta.url)).size > 25e6) {
  console.log('CAUTION: the addon looks like one of `npm run build:dev`; `npm run build` makes the one to measure')
}
const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url)))
console.log(
  `thryd ${manifest.version}, Node ${process.version}, ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, ${process.platform} ${process.arch}`,
)
console.log(
  'medians of five rounds, contestants taking turns; the mock server shares the machine; CPU is that of this process',
)

await contest(`whole answers of 1 KB, ${IN_FLIGHT} in flight, server answers at once`, 'request', [
  {
    name: 'thryd',
    run: atOnce(IN_FLIGHT, async () => {
      const answer = await router.invoke('default', { message: question(), max_completion_tokens: 200 })
      return answer.content.length > 0 ? 1 : 0
    }),
  },
  peer(['undici'], ({ Pool }) => {
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
  peer(['openai'], ({ default: OpenAI }) => {
    const client = new OpenAI({ apiKey: 'none', baseURL: baseUrl })
    return atOnce(IN_FLIGHT, async () => {
      const completion = await client.chat.completions.create(body(question()))
      return completion.choices[0].message.content.length > 0 ? 1 : 0
    })
  }),
  peer(['ai', '@ai-sdk/openai-compatible'], ({ generateText }, { createOpenAICompatible }) => {
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
  peer(['openai'], ({ default: OpenAI }) => {
    const client = new OpenAI({ apiKey: 'none', baseURL: baseUrl })
    return atOnce(STREAMS, async () => {
      let chunks = 0
      const stream = await client.chat.completions.create(body(question(), { stream: true }))
      for await (const chunk of stream) chunks += chunk.choices[0]?.delta.content ? 1 : 0
      return chunks
    })
  }),
  peer(['ai', '@ai-sdk/openai-compatible'], ({ streamText }, { createOpenAICompatible }) => {
    const model = createOpenAICompatible({ name: 'mock', baseURL: baseUrl })('model')
    return atOnce(STREAMS, async () => {
      let chunks = 0
      for await (const delta of streamText({ model, prompt: question() }).textStream) chunks += delta ? 1 : 0
      return chunks
    })
  }),
])

const cached = new CompletionRouter({ cache: {} })
cached.addProvider({ type: 'openai-compatible', name: 'mock', baseUrl })
cached.deploy('default', 'mock::model')
const requests = Array.from({ length: 1000 }, () => ({ message: question(), max_completion_tokens: 200 }))
for await (const answer of cached.invokeMany('default', requests)) if (answer instanceof Error) throw answer

/** One after the other, a thousand at a time between two looks at the clock. */
const inTurn = (act) => async (isOver) => {
  let done = 0
  while (!isOver()) {
    for (let index = 0; index < 1000; index += 1) await act(done++)
  }
  return done
}

const keyOf = (request) => createHash('sha256').update(JSON.stringify(request)).digest('hex')

await contest('answers from memory, requests of 1 KB', 'hit', [
  {
    name: 'thryd',
    run: inTurn(async (index) => {
      const answer = await cached.invoke('default', requests[index % 1000])
      if (answer.cache !== 'memory') throw new Error(`expected a memory hit, got ${answer.cache}`)
    }),
  },
  peer(['lru-cache'], ({ LRUCache }) => {
    const answers = new LRUCache({ max: 10_000 })
    for (const request of requests) answers.set(keyOf(request), { content: 'an answer' })
    return inTurn(async (index) => {
      if (!answers.get(keyOf(requests[index % 1000]))) throw new Error('expected a hit')
    })
  }),
])

// Texts as prompts are, about 2 KB each, all different.
const words = readFileSync(new URL('../docs/design.md', import.meta.url), 'utf8')
const texts = Array.from({ length: 64 }, (_, index) => words.slice(index * 100, index * 100 + 2000))
await contest('token counts, o200k_base, English of 2 KB', 'text', [
  { name: 'thryd', run: inTurn((index) => countTokens(texts[index % 64], 'o200k_base')) },
  peer(['gpt-tokenizer'], (tokenizer) => {
    const differing = texts.filter((text) => tokenizer.countTokens(text) !== countTokens(text, 'o200k_base'))
    if (differing.length > 0) throw new Error(`it counts ${differing.length} of ${texts.length} texts differently`)
    return inTurn((index) => tokenizer.countTokens(texts[index % 64]))
  }),
])

await router.close()
await cached.close()
mock.disconnect()
process.exit()
