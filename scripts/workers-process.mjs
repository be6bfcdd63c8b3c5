// The process that `workers.mjs` measures: one worker after the other, and how much memory there is after each.
import { once } from 'node:events'
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'

/** What the workers do: load and use thryd, or nothing. */
const [, , what, cyclesText, url, folder] = process.argv
const CYCLES = Number(cyclesText)
const ENDS = ['return', 'close', 'exit', 'terminate']

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc')

async function cycle(number) {
  const end = ENDS[number % ENDS.length]
  const worker =
    what === 'thryd'
      ? new Worker(new URL('workers-cycle.mjs', import.meta.url), { workerData: { url, folder, number, end } })
      : new Worker("require('node:worker_threads').parentPort.postMessage('under way')", { eval: true })
  let failure
  worker.on('error', (error) => (failure = error))
  const ended = new Promise((resolve) => worker.on('exit', resolve))
  if (what === 'thryd' && end === 'terminate') {
    await Promise.race([once(worker, 'message'), ended])
    await worker.terminate()
  }
  await ended
  if (failure !== undefined) throw failure
}

/** What is open of the cache. */
function files() {
  if (process.platform !== 'linux') return []
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return ''
    }
  })
  return targets.filter((target) => target.startsWith(folder))
}

function threads() {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc/self/task').map((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim()
    } catch {
      return ''
    }
  })
}

for (let number = 1; number <= CYCLES; number += 1) {
  await cycle(number)
  gc()
  process.send({ number, rss: process.memoryUsage().rss })
}
// What was cancelled last is let go on another thread.
for (let turn = 0; turn < 200 && (files().length > 0 || threads().includes('thryd-store')); turn += 1) await sleep(10)
process.send({ files: files(), threads: threads().filter((name) => name.startsWith('thryd')) })
process.disconnect()
