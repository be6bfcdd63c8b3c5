// Contestants take turns in this process, round by round (A/B/A/B), so that what the machine does meanwhile meets them all.
// Those that must not share a process are in apart.mjs.

import { compare } from './compare.mjs'

export { median, print } from './compare.mjs'

export const ROUNDS = 5
const ROUND_MS = 800
const WARM_UP_MS = 300

/**
 * Runs every contestant for the same time, again and again; prints medians, and keeps them.
 *
 * @param contestants `{ name, run(isOver) }`, the first one is thryd; `run` works until `isOver()` and gives the number of
 *   things done. With `over`, another contestant, it also says how much more CPU it needs than that one. Or
 *   `{ name, missing }`: why it does not take part.
 */
export async function contest(title, unit, contestants) {
  const able = contestants.filter((contestant) => !contestant.missing)
  const rounds = new Map(able.map((contestant) => [contestant, []]))
  for (const contestant of able) await measure(contestant, WARM_UP_MS)
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const contestant of able) rounds.get(contestant).push(await measure(contestant, ROUND_MS))
  }
  for (const contestant of able.filter(({ over }) => rounds.has(over))) {
    const bare = rounds.get(contestant.over)
    rounds.get(contestant).forEach((round, index) => (round.added = round.cpu - bare[index].cpu))
  }
  const measures = [
    'rate',
    'cpu',
    ...(hasThread ? ['thread'] : []),
    ...(able.some(({ over }) => over) ? ['added'] : []),
  ]
  const entries = contestants.map((one) => ({ name: one.name, missing: one.missing, rounds: rounds.get(one) }))
  return compare({ title, unit, measures, entries })
}

/** Node 22 does not tell what a single thread used. */
const hasThread = typeof process.threadCpuUsage === 'function'

async function measure({ run }, milliseconds) {
  const [cpu, thread, started] = [process.cpuUsage(), hasThread ? process.threadCpuUsage() : {}, performance.now()]
  const done = await run(() => performance.now() - started >= milliseconds)
  const seconds = (performance.now() - started) / 1000
  const all = (used) => (used.user + used.system) / done
  const onThread = hasThread ? all(process.threadCpuUsage(thread)) : undefined
  return { rate: done / seconds, cpu: all(process.cpuUsage(cpu)), thread: onThread }
}
