// Contests in which each contestant has a process of its own, so that its memory, and the CPU of all of its threads, is
// its own. They take turns all the same: round by round, one at a time.

import { fork } from 'node:child_process'
import { once } from 'node:events'

import { ASKERS, versionOfAsker } from './askers.mjs'
import { compare } from './compare.mjs'
import { startGateway } from './gateways.mjs'
import { startMock } from './machine.mjs'

export const ROUNDS = 5
const ROUND_MS = 1000
const WARM_UP_MS = 500
/** No round takes longer; who does has failed. */
const PATIENCE_MS = 120_000

/**
 * Runs a contest between askers, by their names in askers.mjs; the first is thryd.
 *
 * @param contest `{ name, title, unit, contestants, work, measures }`. `work` is what process.mjs does: `{ kind, width, how,
 *   count, afterMs }`. With `isFresh` every round has a new process.
 */
export async function apart({ contestants, work, isFresh = false, rounds = ROUNDS, roundMs = ROUND_MS, ...contest }) {
  const mock = await startMock()
  const all = []
  for (const name of contestants) all.push(await enter(name, mock.after(work.afterMs ?? 0), work, isFresh))
  for (let round = isFresh ? 0 : -1; round < rounds; round += 1) {
    for (const one of all.filter(({ missing }) => !missing)) {
      try {
        one.process ??= await begin(one.make)
        const result = await one.process.run({ ...work, milliseconds: round < 0 ? WARM_UP_MS : roundMs })
        if (round >= 0) one.rounds.push(result)
        if (isFresh) one.leave()
      } catch (error) {
        one.missing = error.message
        one.leave()
      }
    }
  }
  for (const one of all) {
    one.leave()
    one.gateway?.stop()
  }
  mock.stop()
  const entries = all.map(({ name, version, missing, rounds: own }) => ({ name, version, missing, rounds: own }))
  return compare({ ...contest, entries })
}

/** A contestant, with its gateway if it has one; `missing` says why it takes no part. */
async function enter(name, url, work, isFresh) {
  const one = { name, version: versionOfAsker(name), rounds: [] }
  one.leave = () => {
    one.process?.end()
    one.process = undefined
  }
  one.make = { name, url, connections: work.width ?? 1 }
  try {
    const { gateway } = ASKERS[name]
    if (gateway) {
      one.gateway = await startGateway(gateway, url)
      one.version ??= one.gateway.version
      one.make = { ...one.make, url: one.gateway.url, extra: one.gateway.extra }
    }
    // Who cannot be made says so before the first round.
    one.process = await begin(one.make)
    if (isFresh) one.leave()
  } catch (error) {
    one.missing = error.message
  }
  return one
}

/** A process with this asker in it. */
async function begin(make) {
  const child = fork(new URL('process.mjs', import.meta.url), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const asked = async (message) => {
    child.send(message)
    const signal = AbortSignal.timeout(PATIENCE_MS)
    const [answer] = await Promise.race([
      once(child, 'message', { signal }).catch(() => [{ error: `nothing after ${PATIENCE_MS / 1000} s` }]),
      once(child, 'exit', { signal }).then(
        ([code, by]) => [{ error: `its process ended: ${by ?? code}` }],
        () => new Promise(() => {}),
      ),
    ])
    if (answer.error) throw new Error(answer.error)
    return answer
  }
  const end = () => child.kill('SIGKILL')
  try {
    await asked({ make })
  } catch (error) {
    end()
    throw error
  }
  return { run: (work) => asked({ work }), end }
}
