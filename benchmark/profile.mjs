// Where the processor time of one call goes, by perf: samples of a process that keeps 64 calls under way, by what the
// function that was running belongs to. It needs an addon that has its symbols, so it is not of a release build.
//
//   node benchmark/run.mjs profile --save

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { ASKERS } from './askers.mjs'
import { atOnce } from './loops.mjs'
import { introduce, startMock } from './machine.mjs'
import { record } from './records.mjs'

const SECONDS = 5
const WIDTH = 64

/** The first whose pattern fits `thread, library, function`. */
const STEPS = [
  ['the system: sockets, wake-ups, memory', /\[kernel|\[vdso|\[unknown\]\|\[k\]/],
  [
    'memory: taking, giving back, copying',
    /malloc|_int_|cfree|calloc|realloc|mem(move|cpy|set|cmp)|__rust_(de)?alloc|operator (new|delete)/,
  ],
  [
    'Node and V8: writing the request, reading the answer, promises, garbage',
    /\|(node|\/\/anon|\[JIT\][^|]*|libstdc\+\+[^|]*)\|/,
  ],
  ['the crossing', /thryd::node|napi|_uv_|uv__/],
  ['counting tokens', /thryd::tokens|tiktoken|fancy_regex|regex/],
  ['the key and the cache', /thryd::cache|blake3|zstd|quick_cache|redb/],
  ['routing, limits, health, statistics', /thryd::(route|tracker|health|deployment|options)/],
  ['JSON: reading and writing request and answer', /thryd::kinds|serde|ryu|zmij|itoa|core::str::|memchr/],
  ['the HTTP client', /hyper|reqwest|http|thryd::connections|thryd::provider|h2::|tower|url::|idna|icu_/],
  ['the runtime', /tokio|mio::|futures|parking_lot|std::sync|core::task|pthread|std::sys/],
]
const OTHER = 'everything else'

const [, script, role, url] = process.argv

/** Who is looked at: asks until it is killed, and prints once a second how many it has asked, and what it used for that. */
async function ask() {
  const asker = await ASKERS.thryd.make({ url })
  const padding = 'Please explain in your own words, and give an example of each. '.repeat(12)
  let asked = 0
  setInterval(() => {
    const { user, system } = process.cpuUsage()
    console.log(JSON.stringify({ asked, cpu: user + system }))
  }, 1000)
  await atOnce(WIDTH, async () => {
    await asker.ask(`${padding}(${(asked += 1)})`)
    return 1
  })(() => false)
}

/** Shares of the samples, by step. */
function shares(data) {
  const sorts = ['--no-children', '--call-graph', 'none', '--sort', 'comm,dso,sym', '--field-separator', '|', '--stdio']
  const said = execFileSync('perf', ['report', '--input', data, ...sorts], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: 'pipe',
  })
  const found = new Map([...STEPS.map(([name]) => [name, 0]), [OTHER, 0]])
  for (const line of said.split('\n')) {
    const [, share, rest] = /^\s*([\d.]+)%?\s*\|(.*)$/.exec(line) ?? []
    if (share === undefined) continue
    const cells = rest.split('|').map((cell) => cell.trim())
    const text = `|${cells.join('|')}|`
    const step = STEPS.find(([, pattern]) => pattern.test(text))?.[0] ?? OTHER
    found.set(step, found.get(step) + Number(share))
  }
  return found
}

async function measure() {
  introduce(`one process, ${SECONDS} seconds, ${WIDTH} calls under way; shares by perf`)
  if (spawnSync('perf', ['--version']).status !== 0) throw new Error('there is no perf')
  const addon = readdirSync(join(import.meta.dirname, '..')).find((name) => name.endsWith('.node'))
  if (!readFileSync(join(import.meta.dirname, '..', addon)).includes('.symtab'))
    throw new Error(`${addon} has no symbols: it takes a build that is not stripped (CARGO_PROFILE_RELEASE_STRIP=none)`)
  const folder = mkdtempSync(join(tmpdir(), 'thryd-profile-'))
  const mock = await startMock()
  const child = spawn(process.execPath, [script, 'ask', mock.baseUrl], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const seen = []
    createInterface(child.stdout).on('line', (line) => seen.push(JSON.parse(line)))
    // Until it is warm.
    while (seen.length < 2) await new Promise((resolve) => setTimeout(resolve, 100))
    const first = seen.length - 1
    const data = join(folder, 'perf.data')
    const perf = spawn(
      'perf',
      ['record', '--freq', '999', '--pid', child.pid, '--output', data, '--', 'sleep', SECONDS],
      { stdio: 'ignore' },
    )
    await once(perf, 'exit')
    const [begun, ended] = [seen[first], seen.at(-1)]
    const each = (ended.cpu - begun.cpu) / (ended.asked - begun.asked)
    const found = shares(data)
    const whole = [...found.values()].reduce((sum, share) => sum + share, 0)
    const steps = [...found].map(([name, share]) => ({ name, share: share / whole, micros: (share / whole) * each }))
    console.log(`\na call, 64 under way: ${each.toFixed(1)} us of CPU`)
    for (const { name, share, micros } of steps)
      console.log(`  ${name.padEnd(74)}${micros.toFixed(1).padStart(6)} us ${(share * 100).toFixed(0).padStart(3)} %`)
    record({ name: 'profile', title: 'where the processor time of a call goes', micros: each, steps })
  } finally {
    child.kill('SIGKILL')
    mock.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

if (role === 'ask') await ask()
else await measure()
process.exit()
