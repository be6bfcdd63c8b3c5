// Whether memory grows with workers that come and go: each loads thryd, uses it over a socket, with a stream, a cache on disk and
// a count of tokens, and ends in one of four ways. Beside it the same number of workers that do nothing, because Node itself keeps
// a little of each. `node scripts/workers.mjs [cycles]`; ends with 0 if it does not grow.
import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const CYCLES = Number(process.argv[2] ?? 1000)
const REPORTS = 10
/** How much more memory there may be in the last quarter than in the second; a short run is not warm by then. */
const GROWTH = CYCLES >= 1000 ? 0.05 : 0.5

const folder = mkdtempSync(join(tmpdir(), 'thryd-workers-'))
const server = fork(join(import.meta.dirname, 'soak-server.mjs'), ['0'])
const { url } = await new Promise((resolve) => server.once('message', resolve))
console.log(`${CYCLES} workers, one after the other, Node ${process.version}`)

/** The memory after each worker, and what is left at the end. */
async function measure(what) {
  const child = fork(join(import.meta.dirname, 'workers-process.mjs'), [what, CYCLES, url, folder])
  const rss = []
  let left = { files: [], threads: [] }
  const started = performance.now()
  child.on('message', (message) => {
    if (message.number === undefined) left = message
    else rss.push(message.rss)
    if (message.number % Math.ceil(CYCLES / REPORTS) === 0) {
      const pace = ((performance.now() - started) / message.number).toFixed(0)
      console.log(
        `${what.padEnd(6)} ${String(message.number).padStart(6)} workers  rss ${size(message.rss)}  ${pace} ms each`,
      )
    }
  })
  const [code, signal] = await new Promise((resolve) => child.once('exit', (...how) => resolve(how)))
  return { rss, left, ended: signal ?? code }
}

function size(bytes) {
  return `${(bytes / 2 ** 20).toFixed(1).padStart(6)} MiB`
}

/** The mean of a quarter. */
function quarter(rss, which) {
  const values = rss.slice(Math.floor((rss.length * (which - 1)) / 4), Math.ceil((rss.length * which) / 4))
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

const problems = []
for (const what of ['bare', 'thryd']) {
  const { rss, left, ended } = await measure(what)
  if (ended !== 0) problems.push(`the process of ${what} workers ended with ${ended}`)
  if (rss.length < 4) continue
  const [second, last] = [quarter(rss, 2), quarter(rss, 4)]
  const growth = last / second - 1
  const each = ((last - second) / (CYCLES / 2) / 1024).toFixed(1)
  console.log(
    `${what}: second quarter ${size(second)}, last ${size(last)}: ${(growth * 100).toFixed(1)} %, ${each} KiB a worker`,
  )
  if (what !== 'thryd') continue
  if (growth > GROWTH) problems.push(`the memory grew by ${(growth * 100).toFixed(1)} %`)
  if (left.files.length > 0) problems.push(`open: ${left.files.join(', ')}`)
  // Those of its runtime stay with the process.
  const threads = left.threads.filter((name) => name !== 'thryd-io')
  if (threads.length > 0) problems.push(`threads: ${threads.join(', ')}`)
}
server.disconnect()
await new Promise((resolve) => server.once('exit', resolve))
rmSync(folder, { recursive: true, force: true })
if (problems.length > 0) {
  console.error(`left behind:\n- ${problems.join('\n- ')}`)
  process.exitCode = 1
} else console.log('nothing is left behind')
