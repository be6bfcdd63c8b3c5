// Streams one at a time: what a chunk costs, how late it is, and whether many readers are served fairly; thryd against
// `fetch` with a parser written by hand, and against the SDKs.
//
//   node benchmark/run.mjs streams

import { createRequire } from 'node:module'
import { connect } from 'node:net'

import { CHUNKS, every, microsecondsNow } from './chunks.mjs'
import { compare } from './compare.mjs'
import { contest, median } from './contest.mjs'
import { atOnce } from './loops.mjs'
import { introduce, startMock } from './machine.mjs'
import { peer } from './peers.mjs'

const READERS = 256
const READERS_MS = 20
const FIRST_TOKENS = 60
const ROUNDS = 5

const { CompletionRouter } = createRequire(import.meta.url)('..')
const { baseUrl, stop } = await startMock()
const providers = [{ type: 'openai-compatible', name: 'mock', baseUrl }]
const router = new CompletionRouter({ providers }).deploy('default', 'mock::model')

// Every question is new, so that nobody joins another's stream.
let asked = 0
const question = (how) => `Explain it, ${how} (${(asked += 1)})`
const body = (prompt) => ({ model: 'model', messages: [{ role: 'user', content: prompt }], stream: true })

/** Who can read a stream. `run(prompt, see)` calls `see` with the text of each chunk, until that gives false. */
const readers = [
  {
    name: 'thryd',
    run: async (prompt, see) => {
      for await (const chunk of router.stream('default', { message: prompt }))
        if (chunk.type === 'content' && see(chunk.delta) === false) break
    },
  },
  { name: 'fetch, parsed by hand', run: byHand },
  await peer(['openai'], ({ default: OpenAI }) => {
    const client = new OpenAI({ apiKey: 'none', baseURL: baseUrl })
    return async (prompt, see) => {
      for await (const chunk of await client.chat.completions.create(body(prompt))) {
        const content = chunk.choices[0]?.delta.content
        if (content && see(content) === false) break
      }
    }
  }),
  await peer(['ai', '@ai-sdk/openai-compatible'], ({ streamText }, { createOpenAICompatible }) => {
    const model = createOpenAICompatible({ name: 'mock', baseURL: baseUrl })('model')
    return async (prompt, see) => {
      const controller = new AbortController()
      for await (const delta of streamText({ model, prompt, abortSignal: controller.signal }).textStream)
        if (see(delta) === false) break
      controller.abort()
    }
  }),
  await peer(['@langchain/openai'], ({ ChatOpenAI }) => {
    const model = new ChatOpenAI({ model: 'model', apiKey: 'none', configuration: { baseURL: baseUrl } })
    return async (prompt, see) => {
      for await (const { content } of await model.stream(prompt)) if (content && see(content) === false) break
    }
  }),
]
const able = readers.filter(({ missing }) => !missing)

/** A socket and nothing else: what it costs to be woken, whatever is made of it. */
const woken = {
  name: 'a socket, not parsed',
  run: (prompt, see) => {
    const { hostname, port, pathname } = new URL(`${baseUrl}/chat/completions`)
    const json = JSON.stringify(body(prompt))
    const socket = connect(Number(port), hostname)
    socket.setNoDelay(true)
    socket.write(`POST ${pathname} HTTP/1.1\r\ncontent-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`)
    return new Promise((resolve) => {
      socket.on('data', (bytes) => {
        for (let at = bytes.indexOf('"content"'); at >= 0; at = bytes.indexOf('"content"', at + 1)) see()
        if (bytes.includes('[DONE]')) socket.destroy()
      })
      socket.on('close', resolve)
    })
  },
}

/** What one would write: no more than it takes. */
async function byHand(prompt, see) {
  const response = await fetch(`${baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer none' },
    body: JSON.stringify(body(prompt)),
  })
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of response.body) {
    rest += decoder.decode(bytes, { stream: true })
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const data = rest.slice('data: '.length, end)
      rest = rest.slice(end + 2)
      if (data === '[DONE]') return
      const content = JSON.parse(data).choices[0]?.delta.content
      if (content && see(content) === false) return
    }
  }
}

introduce()

const counting = ({ name, missing, run }, how) => ({
  name,
  missing,
  run: atOnce(1, async () => {
    let chunks = 0
    await run(question(how), () => void (chunks += 1))
    if (chunks !== CHUNKS) throw new Error(`${name} gave ${chunks} chunks`)
    return chunks
  }),
})
const contestants = (how, all) => all.map((reader) => counting(reader, how))
await contest(`a stream of ${CHUNKS} chunks, server sends at once`, 'chunk', contestants('at once', readers))
await contest(
  `a stream of ${CHUNKS} chunks, one every millisecond`,
  'chunk',
  contestants(every(1), [...readers, woken]),
)
await firstTokens()
await manyReaders()
await router.close()
stop()
process.exit()

/** From the moment at which the server sends the first token to the moment at which the loop has it. */
async function firstTokens() {
  const delays = new Map(able.map((reader) => [reader, []]))
  for (let round = 0; round < FIRST_TOKENS; round += 1) {
    for (const reader of able) {
      await reader.run(question(every(1)), (sent) => {
        delays.get(reader).push(microsecondsNow() - Number(sent))
        return false
      })
    }
  }
  // A round is a fifth of them, so that there is a spread.
  const rounds = (reader) => {
    const all = delays.get(reader)
    const size = all.length / ROUNDS
    return Array.from({ length: ROUNDS }, (_, round) => {
      const sorted = all.slice(round * size, (round + 1) * size).toSorted((left, right) => left - right)
      return { late: median(sorted) / 1000, ninth: sorted[Math.floor(size * 0.9)] / 1000 }
    })
  }
  compare({
    name: 'first-token',
    title: `from the server's first token to the loop, ${FIRST_TOKENS} streams`,
    measures: ['late', 'ninth'],
    entries: entries(rounds),
  })
}

/** All readers, with the rounds of those who could take part. */
function entries(rounds) {
  return readers.map((reader) => {
    const { name, missing } = reader
    return missing ? { name, missing } : { name, rounds: rounds(reader) }
  })
}

/** Each reader's longest gap between two chunks, against the longest that the server made in the same stream. */
async function manyReaders() {
  const results = new Map(able.map((reader) => [reader, []]))
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const reader of able) {
      const begun = process.cpuUsage()
      const seen = await Promise.all(Array.from({ length: READERS }, () => gaps(reader)))
      const { user, system } = process.cpuUsage(begun)
      results.get(reader).push({
        ratio: Math.max(...seen.map(({ own, theirs }) => own / theirs)),
        gap: Math.max(...seen.map(({ own }) => own)) / 1000,
        theirs: Math.max(...seen.map(({ theirs }) => theirs)) / 1000,
        late: median(seen.flatMap(({ delays }) => delays)) / 1000,
        cpu: (user + system) / (READERS * CHUNKS),
      })
    }
  }
  compare({
    name: 'many-readers',
    title: `${READERS} streams at once, a chunk every ${READERS_MS} ms in each`,
    unit: 'chunk',
    measures: ['ratio', 'gap', 'theirs', 'late', 'cpu'],
    entries: entries((reader) => results.get(reader)),
  })
}

async function gaps({ run }) {
  let [own, theirs, lastSeen, lastSent] = [0, 0, 0, 0]
  const delays = []
  await run(question(every(READERS_MS)), (text) => {
    const now = microsecondsNow()
    // What came together is told apart by the server's stamps; the AI SDK joins pieces.
    const sent = Number(text.trim().split(' ').at(-1))
    if (lastSeen > 0) {
      own = Math.max(own, now - lastSeen)
      theirs = Math.max(theirs, sent - lastSent)
    }
    lastSeen = now
    lastSent = sent
    delays.push(now - sent)
  })
  return { own, theirs, delays }
}
