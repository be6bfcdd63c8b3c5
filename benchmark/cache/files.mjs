// The files that the contestants keep their answers in, filled.

import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { answerOf, requestOf } from '../conversation.mjs'
import { peer } from '../peers.mjs'
import { ENTRIES, filledRouter, keyOf } from './contestants.mjs'

const directory = mkdtempSync(join(tmpdir(), 'thryd-benchmark-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
const paths = {
  thryd: join(directory, 'thryd'),
  keyv: join(directory, 'keyv.sqlite'),
  lmdb: join(directory, 'lmdb.mdb'),
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

/** thryd's file, with nothing in memory before it. */
export const options = { path: paths.thryd, memoryBytes: 0, maxBytes: 2 ** 32 }

/** The three files, all entries in each. */
export async function fillFiles() {
  const router = await filledRouter(options)
  await router.close()
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
  ]
  const files = [{ name: 'thryd' }, ...others].map(({ name, missing }, index) => {
    return missing ? `${name}: ${missing}` : `${name} ${Math.round(size(Object.values(paths)[index]) / 2 ** 20)} MiB`
  })
  console.log(
    `\nsize of the files, which hold ${Math.round((ENTRIES * 2048) / 2 ** 20)} MiB of answers: ${files.join(', ')}`,
  )
}
