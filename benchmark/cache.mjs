// thryd's cache against what one would write in Node: hits from memory and from a file, and what a miss costs.
//
//   npm run bench
//   node benchmark/cache.mjs 20000     the same with so many entries

import { ENTRIES, IN_FLIGHT, hits, hitsAtOnce, stop } from './cache/contestants.mjs'
import { fromFile, fromFileCold } from './cache/file.mjs'
import { fillFiles } from './cache/files.mjs'
import { fromMemory } from './cache/memory.mjs'
import { misses } from './cache/misses.mjs'
import { introduce } from './machine.mjs'

introduce()
console.log(
  `${ENTRIES.toLocaleString('en')} entries, requests of 1 KiB, answers of 2 KiB; every answer is checked to be the right one`,
)

await fromMemory()
await fillFiles()
await fromFileCold()
await fromFile('hits from a file, one after the other', hits)
await fromFile(`hits from a file, ${IN_FLIGHT} in flight`, hitsAtOnce)
await misses()
stop()
process.exit()
