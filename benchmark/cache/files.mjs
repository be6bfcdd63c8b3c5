// The files that the contestants keep their answers in, filled.

import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { answerOf, requestOf } from '../conversation.mjs'
import { peer } from '../peers.mjs'
import { ENTRIES, filledRouter, keyOf } from './contestants.mjs'

export const directory = mkdtempSync(join(tmpdir(), 'thryd-benchmark-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
const paths = {
  thryd: join(directory, 'thryd'),
  keyv: join(directory, 'keyv.sqlite'),
  lmdb: join(directory, 'lmdb.mdb'),
  text: join(directory, 'text.mdb'),
  sqlite: join(directory, 'better.sqlite'),
}

/** Bytes of a file, and of those beside it that belong to it. */
function size(path) {
  const name = path.slice(directory.length + 1)
  const parts = readdirSync(directory).filter((each) => each.startsWith(name))
  return parts.reduce((sum, each) => sum + statSync(join(directory, each)).size, 0)
}

/** keyv over SQLite. */
export const openKeyv = ({ KeyvSqlite }, { default: Keyv }) => {
  const store = new KeyvSqlite({ uri: `sqlite://${paths.keyv}` })
  const keyv = new Keyv({ store })
  keyv.on('error', () => {})
  return { keyv, store }
}
export const openLmdb = ({ open }) => open({ path: paths.lmdb })

/** lmdb with what one would send over a wire, instead of its own packed objects. */
export const openLmdbText = ({ open }) => open({ path: paths.text, encoding: 'string' })

/** A table of JSON texts, as the documentation of better-sqlite3 sets one up for many readers and a writer. */
export function openSqlite({ default: Database }) {
  const database = new Database(paths.sqlite)
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = NORMAL')
  database.exec('CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID')
  const select = database.prepare('SELECT value FROM answers WHERE key = ?').pluck()
  const insert = database.prepare('INSERT OR REPLACE INTO answers VALUES (?, ?)')
  return { database, get: (key) => select.get(key), set: (key, text) => void insert.run(key, text) }
}

/** thryd's file, with nothing in memory before it. */
export const options = { path: paths.thryd, memoryBytes: 0, maxBytes: 2 ** 32 }

/** The files, all entries in each. */
export async function fillFiles() {
  const router = await filledRouter(options)
  await router.cache.close()
  const others = [
    await peer(['@keyv/sqlite', 'keyv'], async (...modules) => {
      const { keyv, store } = openKeyv(...modules)
      // One transaction: how long filling takes is not what is measured.
      await store.query('BEGIN')
      for (let number = 0; number < ENTRIES; number += 1) {
        await keyv.set(keyOf(requestOf(number)), JSON.parse(answerOf(number)))
      }
      await store.query('COMMIT')
      await keyv.disconnect()
    }),
    await peer(['lmdb'], async (module) => {
      const database = openLmdb(module)
      for (let number = 0; number < ENTRIES; number += 1) {
        database.put(keyOf(requestOf(number)), JSON.parse(answerOf(number)))
        if (number % 1000 === 0) await database.committed
      }
      await database.flushed
      await database.close()
    }),
    await peer(
      ['lmdb'],
      async (module) => {
        const database = openLmdbText(module)
        for (let number = 0; number < ENTRIES; number += 1) {
          database.put(keyOf(requestOf(number)), answerOf(number))
          if (number % 1000 === 0) await database.committed
        }
        await database.flushed
        await database.close()
      },
      'JSON texts',
    ),
    await peer(['better-sqlite3'], (module) => {
      const { database, set } = openSqlite(module)
      database.transaction(() => {
        for (let number = 0; number < ENTRIES; number += 1) set(keyOf(requestOf(number)), answerOf(number))
      })()
      database.close()
    }),
  ]
  const files = [{ name: 'thryd' }, ...others].map(({ name, missing }, index) => {
    return missing ? `${name}: ${missing}` : `${name} ${Math.round(size(Object.values(paths)[index]) / 2 ** 20)} MiB`
  })
  console.log(
    `\nsize of the files, which hold ${Math.round((ENTRIES * 2048) / 2 ** 20)} MiB of answers: ${files.join(', ')}`,
  )
}
