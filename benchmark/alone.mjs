// What a call costs by the clock without any network: answers of the dummy, and of memory. Medians of several rounds.
//
//   node benchmark/run.mjs alone

import { createRequire } from 'node:module'

import { median } from './compare.mjs'
import { introduce } from './machine.mjs'
import { record } from './records.mjs'

const { CompletionRouter } = createRequire(import.meta.url)('..')

const ROUNDS = 7

/** Nanoseconds per item of `work`, which does `count` of them. */
async function nanoseconds(count, work) {
  await work(Math.min(count, 100))
  const times = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const start = performance.now()
    await work(count)
    times.push(((performance.now() - start) * 1e6) / count)
  }
  return { median: median(times), least: Math.min(...times), most: Math.max(...times) }
}

const providers = [
  { type: 'dummy', dummy: { cache: true } },
  { type: 'dummy', name: 'long', dummy: { responses: ['word '.repeat(10_000)], repeat: true } },
]
const router = new CompletionRouter({ providers })
router.deploy('default', 'dummy::echo').deploy('long', 'long::words')
const cached = new CompletionRouter({ providers, cache: {} }).deploy('default', 'dummy::echo')
const request = { message: 'Explain async and sync programming. '.repeat(30) }

const rows = {
  'answer from memory, 1 KiB, awaited': await nanoseconds(20_000, async (count) => {
    for (let index = 0; index < count; index += 1) await cached.invoke('default', request)
  }),
  'answer of the dummy, awaited': await nanoseconds(5_000, async (count) => {
    for (let index = 0; index < count; index += 1) await router.invoke('default', { message: `${index}` })
  }),
  'answer of the dummy, 1000 in flight': await nanoseconds(20_000, async (count) => {
    for (let done = 0; done < count; done += 1000) {
      await Promise.all(
        Array.from({ length: 1000 }, (_, index) => router.invoke('default', { message: `${done + index}` })),
      )
    }
  }),
  'item of a batch, 64 in flight': await nanoseconds(20_000, async (count) => {
    const requests = Array.from({ length: count }, (_, index) => ({ message: `${index}` }))
    for await (const answer of router.invokeMany('default', requests)) if (answer instanceof Error) throw answer
  }),
  'chunk of a stream': await nanoseconds(10_000, async () => {
    for await (const chunk of router.stream('long', { message: 'Hi' }))
      if (chunk.type !== 'content') throw new Error(chunk.type)
  }),
}

introduce(`medians of ${ROUNDS} rounds`)
for (const [what, time] of Object.entries(rows)) {
  console.log(`${what.padEnd(40)} ${(time.median / 1000).toFixed(2).padStart(8)} us`)
}
const times = Object.entries(rows).map(([name, time]) => Object.assign({ name }, time))
record({ name: 'alone', title: 'calls from Node without a network', nanoseconds: times })
process.exit()
