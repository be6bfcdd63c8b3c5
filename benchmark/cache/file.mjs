// Hits from a file: by who has it open, and by who has just opened it.

import { contest } from '../contest.mjs'
import { requestOf } from '../conversation.mjs'
import { peer } from '../peers.mjs'
import { answerOfThryd, contentOf, hits, keyOf, newRouter } from './contestants.mjs'
import { openKeyv, openLmdb, openLmdbText, openSqlite, options } from './files.mjs'

/** @param loop `hits` or `hitsAtOnce` */
export async function fromFile(title, loop) {
  const router = newRouter(options)
  const open = []
  await contest(title, 'hit', [
    { name: 'thryd, none in memory', run: loop((number) => answerOfThryd(router, number, 'disk')) },
    await peer(['@keyv/sqlite', 'keyv'], (...modules) => {
      const { keyv } = openKeyv(...modules)
      open.push(() => keyv.disconnect())
      return loop(async (number) => contentOf(await keyv.get(keyOf(requestOf(number)))))
    }),
    await peer(['lmdb'], (module) => {
      const database = openLmdb(module)
      open.push(() => database.close())
      return loop((number) => contentOf(database.get(keyOf(requestOf(number)))))
    }),
    await peer(
      ['lmdb'],
      (module) => {
        const database = openLmdbText(module)
        open.push(() => database.close())
        return loop((number) => contentOf(JSON.parse(database.get(keyOf(requestOf(number))))))
      },
      'JSON texts',
    ),
    await peer(['better-sqlite3'], (module) => {
      const { database, get } = openSqlite(module)
      open.push(() => database.close())
      return loop((number) => contentOf(JSON.parse(get(keyOf(requestOf(number))))))
    }),
  ])
  await router.cache.close()
  for (const close of open) await close()
}

export async function fromFileCold() {
  await contest(
    'a file is opened, gives one hit, and is closed (its pages may be in the memory of the system)',
    'time',
    [
      {
        name: 'thryd',
        run: hits(async (number) => {
          const router = newRouter(options)
          const content = await answerOfThryd(router, number, 'disk')
          await router.cache.close()
          return content
        }, 1),
      },
      await peer(['@keyv/sqlite', 'keyv'], (...modules) =>
        hits(async (number) => {
          const { keyv } = openKeyv(...modules)
          const completion = await keyv.get(keyOf(requestOf(number)))
          await keyv.disconnect()
          return contentOf(completion)
        }, 1),
      ),
      await peer(['lmdb'], (module) =>
        hits(async (number) => {
          const database = openLmdb(module)
          const completion = database.get(keyOf(requestOf(number)))
          await database.close()
          return contentOf(completion)
        }, 1),
      ),
      await peer(['better-sqlite3'], (module) =>
        hits((number) => {
          const { database, get } = openSqlite(module)
          const completion = JSON.parse(get(keyOf(requestOf(number))))
          database.close()
          return contentOf(completion)
        }, 1),
      ),
    ],
  )
}
