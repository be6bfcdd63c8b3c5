// Whether anything is left behind: many calls through a server with faults, some aborted, some left, and then a look at what
// the process still holds. `node scripts/soak.mjs [calls]`; ends with 0 if nothing is.
import { fork } from 'node:child_process'
import { getEventListeners } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import { CompletionRouter, EmbeddingRouter, ThrydError } from 'thryd'

const CALLS = Number(process.argv[2] ?? 1_000_000)
const REPORTS = 10
const IN_FLIGHT = 64
/** So few that callers stand in the line most of the time: four deployments have room for half of them. */
const MAX_CONCURRENT = 8
/** Share of calls that end because their signal fired. */
const ABORTS = 0.05
/** Share of a caller's turns whose signal fires: some fire after the answer, and some turns are several calls. */
const SIGNALS = 1.4 * ABORTS
/** Share of requests in which the server does something wrong. */
const FAULTS = 0.05
/** Different questions to the router with a cache: more than it has room for in a long run. */
const QUESTIONS = CALLS / 20
/** How much more memory there may be at the end than after a fifth of the calls; a short run is not warm by then. */
const GROWTH = CALLS >= 1_000_000 ? 0.1 : 0.5
const ENDS_WITHIN_MS = 10_000

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc')
const next = random(7)
console.log(`${CALLS} calls, ${IN_FLIGHT} at once, Node ${process.version}`)
const atFirst = { resources: process.getActiveResourcesInfo(), sockets: sockets() }
const folder = mkdtempSync(join(tmpdir(), 'thryd-soak-'))
const server = fork(join(import.meta.dirname, 'soak-server.mjs'), [`${FAULTS}`])
const { url } = await once(server)

const options = {
  providers: [{ type: 'openai-compatible', name: 'local', baseUrl: url }],
  retry: { baseDelayMs: 1, maxDelayMs: 20, cooldownMs: 20 },
  timeouts: { firstTokenMs: 500, idleMs: 500 },
}
const deployments = ['a', 'b', 'c', 'd'].map((model) => ({ model: `local::${model}`, maxConcurrent: MAX_CONCURRENT }))
const groups = { default: { deployments } }
// Small enough to be full early, so that what grows later is not the cache.
const file = { path: join(folder, 'cache.redb'), maxBytes: 8 << 20, memoryBytes: 1 << 20 }
const bare = new CompletionRouter({ ...options, groups })
const kept = new CompletionRouter({ ...options, groups, cache: file })
const embedder = new EmbeddingRouter({ ...options, groups })
const routers = [bare, kept, embedder]

const shared = new AbortController().signal
const seen = { answered: 0, aborted: 0, failed: 0, left: 0, joined: 0, cached: 0, wrong: 0 }
const codes = {}
const vectorsSeen = new Map()
const memory = []
let begun = 0
let signalled = 0
let mostWaiting = 0
let leaks = 0

/** One caller: call after call, until all have been made. */
async function calls() {
  while (begun < CALLS) {
    begun += 1
    const number = begun
    if (number >= (memory.length + 1) * (CALLS / REPORTS)) report(number)
    if (number % 50 === 0) mostWaiting = Math.max(mostWaiting, ...routers.map((router) => router.stats().waiting))
    const controller = next() < SIGNALS ? new AbortController() : undefined
    if (controller) signalled += 1
    const signal = controller?.signal ?? shared
    const reason = { number }
    if (controller) abortSoon(controller, reason)
    try {
      await one(number, signal)
    } catch (error) {
      if (error === reason) seen.aborted += 1
      else if (ThrydError.is(error)) {
        seen.failed += 1
        codes[error.code] = (codes[error.code] ?? 0) + 1
      } else throw error
    }
    if (controller && getEventListeners(signal, 'abort').length > 0) leaks += 1
  }
}

/** At any moment: before the call, in its turn, in one of the next, or some milliseconds later. */
function abortSoon(controller, reason) {
  const when = next()
  const abort = () => controller.abort(reason)
  if (when < 0.1) abort()
  else if (when < 0.2) queueMicrotask(abort)
  else if (when < 0.4) setImmediate(abort)
  else setTimeout(abort, next() * 20)
}

async function one(number, signal) {
  const kind = next()
  const text = `the question of call ${number} in a few words`
  if (kind < 0.45) return check(await bare.invoke('default', { message: text }, { signal }), text)
  // Most of them again: from memory, from the file, or joined.
  const again = `question ${Math.floor(next() * QUESTIONS)} once more`
  if (kind < 0.6) return check(await kept.invoke('default', { message: again }, { signal }), again)
  if (kind < 0.65) {
    const equal = Array.from({ length: 3 }, () => bare.invoke('default', { message: text }, { signal }))
    const results = await Promise.allSettled(equal)
    begun += 2
    for (const result of results) {
      if (result.status === 'rejected') throw result.reason
      check(result.value, text)
    }
    return
  }
  if (kind < 0.7) {
    const input = Array.from({ length: 3 }, (_, index) => `${(number + index) % 1000}`)
    const { vectors } = await embedder.invoke('default', { input }, { signal })
    if (vectors.some(([first], index) => first !== known(input[index], first))) seen.wrong += 1
    seen.answered += 1
    return
  }
  if (kind < 0.71) {
    const texts = Array.from({ length: 20 }, (_, index) => `${text}, number ${index}`)
    const requests = texts.map((message) => ({ message }))
    let place = 0
    for await (const answer of bare.invokeMany('default', requests, { signal, concurrency: 8 })) {
      begun += 1
      if (!(answer instanceof Error)) check(answer, texts[place])
      place += 1
      if (number % 3 === 0 && place === 10) {
        seen.left += 1
        break
      }
    }
    return
  }
  const buffer = kind < 0.75
  const onInterrupt = kind < 0.8 ? 'restart' : 'error'
  const router = kind < 0.85 ? kept : bare
  const stream = router.stream('default', { message: text }, { signal, buffer, onInterrupt })
  if (kind < 0.88) return check(await stream.completion(), text)
  let content = ''
  for await (const chunk of stream) {
    if (chunk.type === 'restart') content = ''
    else content += chunk.delta
    if (kind > 0.95) {
      seen.left += 1
      return
    }
  }
  check({ ...(await stream.completion()), content, toString: () => content }, text)
}

/** The first component of a text's vector, as it came first. */
function known(text, first) {
  if (!vectorsSeen.has(text)) vectorsSeen.set(text, first)
  return vectorsSeen.get(text)
}

function check(answer, text) {
  seen.answered += 1
  if (`${answer}` !== text) seen.wrong += 1
  if (answer.cache === 'joined') seen.joined += 1
  if (answer.cache === 'memory' || answer.cache === 'disk') seen.cached += 1
}

function report(number) {
  gc()
  const { rss, heapUsed } = process.memoryUsage()
  // V8 keeps tens of MiB for the young, as it sees fit, of which only what it has touched is in memory; the rest is thryd's
  // and Node's.
  const { total_physical_size: heap } = getHeapStatistics()
  memory.push({ number, rss, native: rss - heap })
  const threads = /^Threads:\s+(\d+)/m.exec(status())?.[1] ?? '?'
  const pace = Math.round((number / (performance.now() - started)) * 1000)
  console.log(
    `${String(number).padStart(8)} calls  rss ${size(rss)}  heap ${size(heapUsed)} of ${size(heap)}  ` +
      `the rest ${size(rss - heap)}  threads ${threads}  ${pace}/s`,
  )
}

/** Uniform from 0 to 1, the same in every run. */
function random(seed) {
  let state = seed
  return () => {
    // mulberry32
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function size(bytes) {
  return `${(bytes / 2 ** 20).toFixed(1).padStart(6)} MiB`
}

function status() {
  return process.platform === 'linux' ? readFileSync('/proc/self/status', 'utf8') : ''
}

/** Sockets that this process has open; 0 where nobody says. */
function sockets() {
  if (process.platform !== 'linux') return 0
  return readdirSync('/proc/self/fd').filter((fd) => target(fd).startsWith('socket:')).length
}

/** What a file descriptor is; nothing if it was closed meanwhile. */
function target(fd) {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ''
  }
}

function once(child) {
  return new Promise((resolve) => child.once('message', resolve))
}

function ask(child) {
  child.send('?')
  return once(child)
}

const started = performance.now()
await Promise.all(Array.from({ length: IN_FLIGHT }, calls))
if (memory.length < REPORTS) report(CALLS)

const problems = []
const expectThat = (isSo, problem) => {
  if (!isSo) problems.push(problem)
}
// What was cancelled last is let go on another thread.
const isIdle = (router) => router.stats().inFlight === 0 && router.stats().waiting === 0
for (let turn = 0; turn < 100 && !routers.every(isIdle); turn += 1) await sleep(10)
for (const router of routers) {
  const { inFlight, waiting, groups: all } = router.stats()
  expectThat(inFlight === 0 && waiting === 0, `${inFlight} calls in flight, ${waiting} in line`)
  for (const each of all.default.deployments)
    expectThat(each.inFlight === 0, `${each.model} has ${each.inFlight} in flight`)
}
expectThat(leaks === 0, `${leaks} signals with a listener after their call`)
const listeners = getEventListeners(shared, 'abort').length
expectThat(listeners === 0, `${listeners} listeners on the signal of all other calls`)
expectThat(seen.wrong === 0, `${seen.wrong} answers to another question`)
expectThat(mostWaiting > 0, 'nobody was seen in the line')
const aborts = seen.aborted / begun
expectThat(Math.abs(aborts - ABORTS) < ABORTS / 5, `${(aborts * 100).toFixed(1)} % of the calls were aborted`)
for (const what of ['answered', 'aborted', 'left', 'joined', 'cached'])
  expectThat(seen[what] > 0, `nothing was ${what}`)
await Promise.all(routers.map((router) => router.close()))

// Connections stay for whoever calls next; but none of them may be in the middle of something.
let counts = await ask(server)
for (let turn = 0; turn < 100 && counts.open > 0; turn += 1) {
  await sleep(10)
  counts = await ask(server)
}
expectThat(counts.open === 0, `${counts.open} exchanges open at the server`)
const idle = sockets() - atFirst.sockets
expectThat(idle <= 2 * IN_FLIGHT, `${idle} connections for ${IN_FLIGHT} calls at once`)
server.disconnect()
await new Promise((resolve) => server.once('exit', resolve))
rmSync(folder, { recursive: true, force: true })
// With the server go the connections to it.
for (let turn = 0; turn < 100 && sockets() > atFirst.sockets; turn += 1) await sleep(10)
const open = sockets() - atFirst.sockets
expectThat(open <= 0, `${open} sockets`)
// The handle of the child that has just ended is closed a moment later.
const held = () => process.getActiveResourcesInfo().filter((name) => !atFirst.resources.includes(name))
for (let turn = 0; turn < 100 && held().length > 0; turn += 1) await sleep(10)
const resources = held()
expectThat(resources.length === 0, `active: ${resources.join(', ')}`)

const early = memory.find(({ number }) => number >= CALLS / 5)
const last = memory.at(-1)
if (early !== undefined && last !== undefined) {
  const growth = (of) => last[of] / early[of] - 1
  const percent = (of) => `${(growth(of) * 100).toFixed(1)} %`
  // A short run has not had time to give the JavaScript heap its size.
  const measured = CALLS >= 1_000_000 ? 'rss' : 'native'
  expectThat(growth(measured) <= GROWTH, `the memory (${measured}) grew by ${percent(measured)}`)
  console.log(
    `from ${early.number} to ${last.number} calls: rss ${percent('rss')}, without the heap ${percent('native')}`,
  )
}
const { ok: _ok, ...wrong } = counts.served
const faults = Object.values(wrong).reduce((sum, count) => sum + count, 0)
const share = faults / counts.requests
expectThat(Math.abs(share - FAULTS) < FAULTS / 5, `${(share * 100).toFixed(1)} % of the requests had a fault`)
console.log(JSON.stringify({ ...seen, ...codes }))
console.log(`${signalled} signals fired; at most ${mostWaiting} calls were seen in one line`)
console.log(`the server saw ${counts.requests} requests, ${faults} with a fault, and ${counts.aborted} clients leave`)
if (problems.length > 0) {
  console.error(`left behind:\n- ${problems.join('\n- ')}`)
  process.exitCode = 1
} else console.log('nothing is left behind')
// Holds nobody: it only fires if somebody else does.
setTimeout(() => {
  console.error('the process does not end by itself')
  process.exit(1)
}, ENDS_WITHIN_MS).unref()
