// The benches in Rust, in the form of all others: `miss` and `scale` of benches/, and what criterion measured.
//
//   node benchmark/run.mjs miss scale criterion

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { compare } from './compare.mjs'
import { startMock, version } from './machine.mjs'
import { RECORDS, record, recorded } from './records.mjs'

const ROOT = join(import.meta.dirname, '..')
const CRITERION = ['cache', 'limiters', 'limits', 'records', 'sse', 'tokens']
/** Of benches/scale, each in a process of its own. */
const CURVES = ['deployments', 'groups', 'waiters', 'threads', 'memory', 'file', 'storing']

function bench(names, env, args = []) {
  const benches = names.flatMap((name) => ['--bench', name])
  const { status } = spawnSync('cargo', ['bench', '--no-default-features', ...benches, ...args], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  })
  if (status !== 0) throw new Error(`cargo bench ended with ${status}`)
}

/** What such a bench writes: contests, which are compared here, and curves. */
function keep(name, env, args = []) {
  const folder = mkdtempSync(join(tmpdir(), 'thryd-bench-'))
  try {
    const path = join(folder, 'records')
    bench([name], { ...env, [RECORDS]: path }, args)
    for (const result of recorded(path)) {
      for (const entry of result.entries ?? []) entry.version = version
      if (result.entries) compare(result)
      else record(result)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The medians that criterion leaves behind, in nanoseconds. */
function estimates() {
  const target = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'criterion')
  const files = readdirSync(target, { recursive: true }).filter((path) => path.endsWith(join('new', 'estimates.json')))
  return files.toSorted().map((path) => {
    const { median } = JSON.parse(readFileSync(join(target, path), 'utf8'))
    const details = join(target, path, '../benchmark.json')
    const name = existsSync(details) ? JSON.parse(readFileSync(details, 'utf8')).full_id : path
    const { lower_bound: least, upper_bound: most } = median.confidence_interval
    return { name, median: median.point_estimate, least, most }
  })
}

const PARTS = {
  async miss() {
    const { baseUrl, stop } = await startMock()
    try {
      keep('miss', { THRYD_MOCK: baseUrl })
    } finally {
      stop()
    }
  },
  scale() {
    for (const curve of CURVES) keep('scale', {}, ['--', curve])
  },
  criterion() {
    const target = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'criterion')
    rmSync(target, { recursive: true, force: true })
    for (const name of CRITERION) {
      const args = ['limiters', 'records'].includes(name)
        ? []
        : ['--', '--warm-up-time', '0.5', '--measurement-time', '1']
      bench([name], {}, args)
    }
    record({ name: 'criterion', title: 'the pure parts, by criterion', nanoseconds: estimates() })
  },
}

for (const name of process.argv.slice(2)) await PARTS[name]()
process.exit()
