// Several processes that share one limit over Redis, against what their provider sees: never over the limit in any 60 s, nearly
// all of it used while all wait, each process near its fair share. With faults, Redis is frozen, killed and started again.
//
//   node scripts/redis.mjs [--processes 8] [--calls 200] [--rpm 300] [--faults]
//
// Needs redis-server (Debian: apt-get install redis-server) and a build. 8 x 200 at 300 a minute take five minutes.
import { fork, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const text = (fallback) => ({ type: 'string', default: fallback })
const { values } = parseArgs({
  options: { processes: text('8'), calls: text('200'), rpm: text('300'), faults: { type: 'boolean', default: false } },
})
const [processes, calls, rpm] = [values.processes, values.calls, values.rpm].map(Number)
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// The provider: when, and whose.
const log = []
const answer = JSON.stringify({
  id: 'x',
  object: 'chat.completion',
  model: 'limited',
  choices: [{ index: 0, message: { role: 'assistant', content: 'a' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
})
const provider = createServer((request, response) => {
  let body = ''
  const at = performance.now()
  request.on('data', (chunk) => (body += chunk))
  request.on('end', () => {
    const { model, user } = JSON.parse(body)
    if (model === 'limited') log.push({ at, user })
    response.setHeader('content-type', 'application/json').end(answer)
  })
})
await new Promise((resolve) => provider.listen(0, '127.0.0.1', resolve))
const baseUrl = `http://127.0.0.1:${provider.address().port}/v1`

// Redis.
const folder = mkdtempSync(join(tmpdir(), 'thryd-redis-'))
const port = await new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port: free } = server.address()
    server.close(() => resolve(free))
  })
})
let server
async function startRedis() {
  server = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder],
    {
      stdio: 'ignore',
    },
  )
  server.on('error', (error) => {
    console.error(`redis-server is needed (Debian: apt-get install redis-server): ${error.message}`)
    process.exit(1)
  })
  for (;;) {
    const isUp = await new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
      socket.on('connect', () => socket.destroy())
    })
    if (isUp) return
    await sleep(20)
  }
}
await startRedis()

const path = fileURLToPath(new URL('redis-process.mjs', import.meta.url))
const options = JSON.stringify({ redis: `redis://127.0.0.1:${port}`, baseUrl, rpm, calls })
const children = Array.from({ length: processes }, () => fork(path, [options]))
const errors = []
const said = (child, key) =>
  new Promise((resolve) => {
    const listen = (message) => {
      if (message[key] === undefined) return
      child.off('message', listen)
      resolve(message)
    }
    child.on('message', listen)
  })
for (const child of children) child.on('message', (message) => message.error && errors.push(message.error))
await Promise.all(children.map((child) => said(child, 'ready')))

const begun = performance.now()
const since = () => ((performance.now() - begun) / 1000).toFixed(1)
const done = children.map((child) => said(child, 'done'))
for (const child of children) child.send('go')

/** How long until all say so. */
async function until(status) {
  const from = performance.now()
  for (;;) {
    const all = await Promise.all(
      children.filter((child) => child.connected).map((child) => (child.send('stats'), said(child, 'stats'))),
    )
    if (all.every(({ stats }) => stats.status === status)) return performance.now() - from
    await sleep(50)
  }
}
/** What was not as it has to be. */
const wrong = []
function within(limit, ms, what) {
  if (ms > limit) wrong.push(`${what} after ${ms.toFixed(0)} ms, not within ${limit}`)
  return ms.toFixed(0)
}
if (values.faults) {
  await sleep(20_000)
  server.kill('SIGSTOP')
  console.log(`${since()} s: Redis is frozen; all go on alone after ${(await until('local')).toFixed(0)} ms`)
  await sleep(5000)
  server.kill('SIGCONT')
  console.log(
    `${since()} s: Redis goes on; all are back after ${within(2000, await until('connected'), 'all are back')} ms`,
  )
  await sleep(45_000)
  server.kill('SIGKILL')
  console.log(`${since()} s: Redis is killed; all go on alone after ${(await until('local')).toFixed(0)} ms`)
  await sleep(5000)
  await startRedis()
  const back = within(2000, await until('connected'), 'all are back')
  console.log(`${since()} s: Redis is there again, empty; all are back after ${back} ms`)
}
const admitted = (await Promise.all(done)).flatMap((each) => each.admitted).toSorted((a, b) => a - b)
for (const child of children) child.send('stop')
server.kill('SIGKILL')
provider.close()
rmSync(folder, { recursive: true, force: true })

// What the provider saw.
log.sort((a, b) => a.at - b.at)
/** The most in any 60 s. */
function mostOf(times) {
  let [most, first] = [0, 0]
  for (let last = 0; last < times.length; last += 1) {
    while (times[last] - times[first] > 60_000) first += 1
    most = Math.max(most, last - first + 1)
  }
  return most
}
const most = mostOf(log.map(({ at }) => at))
// Of admissions: a machine that is busy sends some a moment later, and the provider then sees two minutes' worth meet.
const mostAdmitted = mostOf(admitted)
// Until the first process had nothing left to wait for: from then on not all wait.
const users = [...new Set(log.map(({ user }) => user))]
const ends = users.map((user) => log.findLast((each) => each.user === user).at)
const whole = Math.floor(log.length / rpm) * rpm
const last = log[whole - 1] ?? log.at(-1)
const used = whole / (rpm * (1 + Math.max(last.at - log[0].at, 0) / 60_000))
const shares = users.map(
  (user) => log.slice(0, whole).filter((each) => each.user === user).length / (whole / processes),
)
// The worst share of any minute in which all wait.
const minutes = Array.from({ length: Math.floor(whole / rpm) }, (_, index) => log.slice(index * rpm, (index + 1) * rpm))
const waited = minutes.filter((minute) => minute.at(-1).at <= Math.min(...ends))
const byMinute = waited.flatMap((minute) =>
  users.map((user) => minute.filter((each) => each.user === user).length / (rpm / processes)),
)
const result = {
  processes,
  calls,
  rpm,
  failed: errors.length,
  answered: log.length,
  most,
  mostAdmitted,
  used: Number(used.toFixed(4)),
  shares: [Math.min(...shares), Math.max(...shares)].map((share) => Number(share.toFixed(2))),
  sharesOfAnyMinute: byMinute.length
    ? [Math.min(...byMinute), Math.max(...byMinute)].map((share) => Number(share.toFixed(2)))
    : [],
  seconds: Number(((log.at(-1).at - log[0].at) / 1000).toFixed(1)),
}
console.log(JSON.stringify(result))
if (errors.length) console.log(errors.slice(0, 5))
// While Redis is away each process has its share beside what was spent before.
const allowed = values.faults ? 2 * rpm : rpm
if (most > allowed) wrong.push(`${most} in a minute, of ${allowed}`)
if (errors.length) wrong.push(`${errors.length} calls failed`)
if (!values.faults && used < 0.97) wrong.push(`${used} of the quota were used`)
if (!values.faults && shares.some((share) => share < 0.7 || share > 1.3)) wrong.push('a share is not fair')
for (const what of wrong) console.error(`not as it has to be: ${what}`)
process.exitCode = wrong.length ? 1 : 0
