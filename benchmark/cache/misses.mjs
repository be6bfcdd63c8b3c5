// What a cache adds to a call that it cannot answer: looking, and storing.

import { contest } from '../contest.mjs'
import { check, requestOf } from '../conversation.mjs'
import { atOnce } from '../loops.mjs'
import { peer } from '../peers.mjs'
import {
  ENTRIES,
  IN_FLIGHT,
  answerOfThryd,
  askAiSdk,
  baseUrl,
  contentOf,
  keyOf,
  newRouter,
  recipe,
} from './contestants.mjs'
import { openKeyv, openLmdb, openSqlite, options } from './files.mjs'

/** A fetch of the answer, looked for in `cache` before and kept in it after. */
function cachedFetch({ Pool }, cache) {
  const pool = new Pool(new URL(baseUrl).origin, { connections: IN_FLIGHT })
  return newQuestions(async (number) => {
    const request = requestOf(number)
    const key = cache && keyOf(request)
    const known = cache && (await cache.get(key))
    if (known) throw new Error('expected a miss')
    const response = await pool.request({
      path: '/v1/chat/completions',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'model', ...request }),
    })
    const text = await response.body.text()
    const completion = JSON.parse(text)
    await cache?.set(key, completion, text)
    return contentOf(completion)
  }, cache?.flush)
}

let asked = ENTRIES

/** New questions, many at once; at the end all that was stored is on disk. */
const newQuestions = (ask, flush) => {
  const run = atOnce(IN_FLIGHT, async () => {
    const number = (asked += 1)
    check(await ask(number), number)
    return 1
  })
  return async (isOver) => {
    const done = await run(isOver)
    await flush?.()
    return done
  }
}

export async function misses() {
  const [router, inMemory, inFile] = [newRouter(), newRouter({}), newRouter({ ...options, memoryBytes: 2 ** 26 })]
  const open = [() => router.close(), () => inMemory.close(), () => inFile.close()]
  const plain = {
    name: 'thryd, no cache',
    run: newQuestions(async (number) => (await router.invoke('default', requestOf(number))).content),
  }
  const plainUndici = await peer(['undici'], (undici) => cachedFetch(undici), 'no cache')
  const askAi =
    (middleware) =>
    (ai, { createOpenAICompatible }) => {
      const bare = createOpenAICompatible({ name: 'mock', baseURL: baseUrl })('model')
      const model = middleware ? ai.wrapLanguageModel({ model: bare, middleware }) : bare
      return newQuestions(async (number) => (await askAiSdk(ai, model, number)).text)
    }
  const aiSdk = ['ai', '@ai-sdk/openai-compatible']
  const plainAi = await peer(aiSdk, askAi(), 'no cache')
  const cachedUndici = async (names, make) => ({
    ...(await peer(['undici', ...names], make, names[0])),
    over: plainUndici,
  })
  await contest(
    `misses, ${IN_FLIGHT} in flight, server answers at once; in the end all that is stored is on disk`,
    'request',
    [
      {
        name: 'thryd, a file',
        run: newQuestions(
          (number) => answerOfThryd(inFile, number, 'miss'),
          () => inFile.cache.flush(),
        ),
        over: plain,
      },
      { name: 'thryd, memory', run: newQuestions((number) => answerOfThryd(inMemory, number, 'miss')), over: plain },
      plain,
      await cachedUndici(['lru-cache'], (undici, { LRUCache }) => {
        const answers = new LRUCache({ max: ENTRIES })
        return cachedFetch(undici, {
          get: (key) => answers.get(key),
          set: (key, _, text) => void answers.set(key, text),
        })
      }),
      await cachedUndici(['@keyv/sqlite', 'keyv'], (undici, ...modules) => {
        const { keyv } = openKeyv(...modules)
        open.push(() => keyv.disconnect())
        return cachedFetch(undici, { get: (key) => keyv.get(key), set: (key, value) => keyv.set(key, value) })
      }),
      await cachedUndici(['lmdb'], (undici, module) => {
        const database = openLmdb(module)
        open.push(() => database.close())
        const set = (key, value) => void database.put(key, value)
        return cachedFetch(undici, { get: (key) => database.get(key), set, flush: () => database.flushed })
      }),
      await cachedUndici(['better-sqlite3'], (undici, module) => {
        const { database, get, set } = openSqlite(module)
        open.push(() => database.close())
        return cachedFetch(undici, { get, set: (key, _, text) => set(key, text) })
      }),
      plainUndici,
      { ...(await peer(aiSdk, askAi(recipe(new Map())), 'middleware recipe, a Map for its Redis')), over: plainAi },
      plainAi,
    ],
  )
  for (const close of open) await close()
}
