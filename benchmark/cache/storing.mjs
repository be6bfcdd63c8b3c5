// What it costs the caller to have an answer kept: all that is done until it goes on, and nothing of what is written behind.

import { createRequire } from 'node:module'

import { contest } from '../contest.mjs'
import { answerOf, requestOf } from '../conversation.mjs'
import { inTurn } from '../loops.mjs'
import { peer } from '../peers.mjs'
import { ENTRIES, contentOf, keyOf } from './contestants.mjs'
import { openKeyv, openLmdb, openSqlite, options } from './files.mjs'

const { CompletionRouter } = createRequire(import.meta.url)('../..')
const answer = answerOf(0)
const completion = JSON.parse(answer)

let stored = 10 * ENTRIES

/** New questions, one after the other. */
const oneByOne = (store) => inTurn(() => store(requestOf((stored += 1))), 100)

/** A router that is answered at once, by itself, so that little else is measured. */
function selfAnswered() {
  const router = new CompletionRouter({ cache: options })
  const dummy = { responses: [contentOf(completion)], repeat: true, cache: true }
  router.addProvider({ type: 'dummy', name: 'self', dummy })
  return router.deploy('default', 'self::model')
}

/** The same for who stores under the hash of a question. */
const byHash = (store) => oneByOne((request) => store(keyOf(request)))

export async function storing() {
  const router = selfAnswered()
  const ask = (cache) => oneByOne((request) => router.invoke('default', request, { cache }))
  const plain = { name: 'thryd, a call of which nothing is kept', run: ask('no-store') }
  const open = [() => router.cache.close()]
  await contest('an answer is looked for and kept, one after the other', 'answer', [
    { name: 'thryd, a call of which the answer is kept', run: ask('default'), over: plain },
    plain,
    await peer(
      ['lmdb'],
      (module) => {
        const database = openLmdb(module)
        open.push(() => database.close())
        return byHash((key) => database.get(key) ?? void database.put(key, completion))
      },
      'get and put, not waited for',
    ),
    await peer(
      ['better-sqlite3'],
      (module) => {
        const { database, get, set } = openSqlite(module)
        open.push(() => database.close())
        return byHash((key) => get(key) ?? set(key, answer))
      },
      'get and set',
    ),
    await peer(
      ['@keyv/sqlite', 'keyv'],
      (...modules) => {
        const { keyv } = openKeyv(...modules)
        open.push(() => keyv.disconnect())
        return byHash(async (key) => (await keyv.get(key)) ?? (await keyv.set(key, completion)))
      },
      'get and set',
    ),
  ])
  for (const close of open) await close()
}
