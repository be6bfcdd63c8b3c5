// What the contests of caches have in common: the routers, the recipe of the AI SDK, and ways to ask.

import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'

import { check, requestOf } from '../conversation.mjs'
import { atOnce, inTurn } from '../loops.mjs'
import { startMock } from '../machine.mjs'

/** How many entries every store has. */
export const ENTRIES = Number(process.argv[2] ?? 100_000)

/** How many calls are under way at once, where that is more than one. */
export const IN_FLIGHT = 64

const { CompletionRouter } = createRequire(import.meta.url)('../..')
export const { baseUrl, stop } = await startMock()

// Neighbours in the store are not asked for one after the other. The stride is prime to the number of entries.
const numberOf = (index) => (index * 7919) % ENTRIES
export const keyOf = (request) => createHash('sha256').update(JSON.stringify(request)).digest('hex')
export const contentOf = (completion) => completion.choices[0].message.content

/** Asks for one entry after the other, by `get(number)`, and checks what it gives. */
export const hits = (get, stride) =>
  inTurn(async (index) => {
    const number = numberOf(index)
    check(await get(number), number)
  }, stride)

/** The same, many at once. */
export const hitsAtOnce = (get) => {
  let index = 0
  return atOnce(IN_FLIGHT, async () => {
    const number = numberOf((index += 1))
    check(await get(number), number)
    return 1
  })
}

export function newRouter(cache) {
  const router = new CompletionRouter({ cache })
  router.addProvider({ type: 'openai-compatible', name: 'mock', baseUrl })
  return router.deploy('default', 'mock::model')
}

/** thryd with all entries in its cache. */
export async function filledRouter(cache) {
  const router = newRouter(cache)
  const requests = (function* () {
    for (let number = 0; number < ENTRIES; number += 1) yield requestOf(number)
  })()
  for await (const answer of router.invokeMany('default', requests)) if (answer instanceof Error) throw answer
  await router.cache.flush()
  return router
}

export async function answerOfThryd(router, number, tier) {
  const answer = await router.invoke('default', requestOf(number))
  if (answer.cache !== tier) throw new Error(`expected an answer from ${tier}, got ${answer.cache}`)
  return answer.content
}

/** A map with what `entry(number)` gives for all entries, `[key, value]`. */
export function filled(map, entry) {
  for (let number = 0; number < ENTRIES; number += 1) map.set(...entry(number))
  return map
}

/**
 * The AI SDK's documented recipe for a cache, its middleware, with a map in place of the Redis. As Redis it holds text,
 * which the recipe's client parses.
 */
export function recipe(map) {
  const redis = {
    get: async (key) => JSON.parse(map.get(key) ?? 'null'),
    set: async (key, value) => void map.set(key, JSON.stringify(value)),
  }
  return {
    specificationVersion: 'v4',
    wrapGenerate: async ({ doGenerate, params, model }) => {
      const cacheKey = JSON.stringify({ provider: model.provider, modelId: model.modelId, params })
      const cached = await redis.get(cacheKey)
      if (cached !== null) {
        const timestamp = cached.response?.timestamp ? new Date(cached.response.timestamp) : undefined
        return { ...cached, response: { ...cached.response, timestamp } }
      }
      const result = await doGenerate()
      redis.set(cacheKey, result)
      return result
    },
  }
}

export function askAiSdk({ generateText }, model, number) {
  const { messages, temperature, max_completion_tokens: maxOutputTokens } = requestOf(number)
  const [{ content: instructions }, user] = messages
  return generateText({ model, instructions, messages: [user], temperature, maxOutputTokens, maxRetries: 0 })
}
