// Hits from memory: from `await router.invoke()` to the content, which is checked each time to be the right one's. A request is made for
// each, as one is in a server, and is 1 KiB; an answer is 2 KiB.

import { contest } from '../contest.mjs'
import { answerOf, check, digits, requestOf } from '../conversation.mjs'
import { peer } from '../peers.mjs'
import {
  ENTRIES,
  answerOfThryd,
  askAiSdk,
  baseUrl,
  contentOf,
  filled,
  filledRouter,
  hits,
  keyOf,
  recipe,
} from './contestants.mjs'

/** The two keys that LangChain asks for: the prompt, and what model answers it and how. */
function langchainKeys({ messages, ...parameters }) {
  return [JSON.stringify(messages), JSON.stringify(parameters)]
}

/** Room for all of them, as its peers have. */
const ROOM = { memoryBytes: 2 ** 29, maxBytes: 2 ** 31 }

/** An answer to a request that is in no words that were heard before: who asks is no part of the question. */
let callers = 0
async function answerAnew(router, number) {
  const answer = await router.invoke('default', { ...requestOf(number), user: `${(callers += 1)}` })
  if (answer.cache !== 'memory') throw new Error(`expected an answer from memory, got ${answer.cache}`)
  return answer.content
}

export async function fromMemory() {
  const router = await filledRouter({ memoryBytes: 2 ** 31, maxBytes: 2 ** 31 })
  const other = await filledRouter(ROOM)
  // What is asked for a second time is remembered from then on; that is a row of its own.
  for (let number = 0; number < ENTRIES; number += 1) check(await answerOfThryd(router, number, 'memory'), number)
  await contest('hits from memory, one after the other', 'hit', [
    { name: 'thryd', run: hits((number) => answerOfThryd(router, number, 'memory')) },
    { name: 'thryd, in other words each time', run: hits((number) => answerAnew(other, number)) },
    await peer(
      ['lru-cache'],
      ({ LRUCache }) => {
        const answers = filled(new LRUCache({ max: 2 * ENTRIES }), (number) => [
          keyOf(requestOf(number)),
          answerOf(number),
        ])
        return hits((number) => contentOf(JSON.parse(answers.get(keyOf(requestOf(number))))))
      },
      'sha256, JSON.parse',
    ),
    await peer(
      ['lru-cache'],
      ({ LRUCache }) => {
        const answers = filled(new LRUCache({ max: 2 * ENTRIES }), (number) => [
          keyOf(requestOf(number)),
          JSON.parse(answerOf(number)),
        ])
        return hits((number) => contentOf(answers.get(keyOf(requestOf(number)))))
      },
      'sha256, one object for all callers',
    ),
    await peer(
      ['@langchain/core/caches'],
      async ({ InMemoryCache }) => {
        const cache = new InMemoryCache()
        for (let number = 0; number < ENTRIES; number += 1) {
          await cache.update(...langchainKeys(requestOf(number)), [{ text: contentOf(JSON.parse(answerOf(number))) }])
        }
        return hits(async (number) => (await cache.lookup(...langchainKeys(requestOf(number))))[0].text)
      },
      'one object for all callers',
    ),
    await peer(
      ['ai', '@ai-sdk/openai-compatible'],
      async (ai, { createOpenAICompatible }) => {
        const stored = new Map()
        const plain = createOpenAICompatible({ name: 'mock', baseURL: baseUrl })('model')
        const model = ai.wrapLanguageModel({ model: plain, middleware: recipe(stored) })
        check((await askAiSdk(ai, model, 0)).text, 0)
        // All others as the first, with another number: as good as asked, and sooner.
        const [[key, text]] = stored
        filled(stored, (number) => [key, text].map((each) => each.replaceAll(digits(0), digits(number))))
        return hits(async (number) => {
          const { text: content } = await askAiSdk(ai, model, number)
          if (stored.size !== ENTRIES) throw new Error('expected a hit')
          return content
        }, 100)
      },
      'middleware recipe, a Map for its Redis',
    ),
  ])
  await router.close()
  await other.close()
}
