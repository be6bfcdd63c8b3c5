// What a call costs the JavaScript thread and the clock, without any network: `npm run bench`. Medians of several rounds.
import { CompletionRouter } from 'thryd'

const ROUNDS = 7

/** Microseconds per item of `work`, which does `count` of them. */
async function microseconds(count, work) {
  await work(Math.min(count, 100))
  const times = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const start = performance.now()
    await work(count)
    times.push(((performance.now() - start) * 1000) / count)
  }
  return times.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)]
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
  'answer from memory, 1 KiB, awaited': await microseconds(20_000, async (count) => {
    for (let index = 0; index < count; index += 1) await cached.invoke('default', request)
  }),
  'answer of the dummy, awaited': await microseconds(5_000, async (count) => {
    for (let index = 0; index < count; index += 1) await router.invoke('default', { message: `${index}` })
  }),
  'answer of the dummy, 1000 in flight': await microseconds(20_000, async (count) => {
    for (let done = 0; done < count; done += 1000) {
      await Promise.all(
        Array.from({ length: 1000 }, (_, index) => router.invoke('default', { message: `${done + index}` })),
      )
    }
  }),
  'item of a batch, 64 in flight': await microseconds(20_000, async (count) => {
    const requests = Array.from({ length: count }, (_, index) => ({ message: `${index}` }))
    for await (const answer of router.invokeMany('default', requests)) if (answer instanceof Error) throw answer
  }),
  'chunk of a stream': await microseconds(10_000, async () => {
    for await (const chunk of router.stream('long', { message: 'Hi' }))
      if (chunk.type !== 'content') throw new Error(chunk.type)
  }),
}

for (const [what, time] of Object.entries(rows)) console.log(`${what.padEnd(40)} ${time.toFixed(2).padStart(8)} us`)
