// Every number that thryd's pages show comes from here: all parts, one after the other, into results.json, of which
// report.mjs makes the tables. After `npm run build`; about twenty-five minutes.
//
//   node benchmark/run.mjs                 all of it
//   node benchmark/run.mjs unary killed    these parts: printed; with --save also put into results.json

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { ASKERS, versionOfAsker } from './askers.mjs'
import { load, machine, version } from './machine.mjs'
import { PARTS } from './parts.mjs'
import { versionOf } from './peers.mjs'
import { RECORDS, recorded } from './records.mjs'
import { judge } from './wanted.mjs'

const RESULTS = join(import.meta.dirname, 'results.json')
const PATIENCE_MS = 900_000
const PEERS = [
  'lru-cache',
  'keyv',
  '@keyv/sqlite',
  'lmdb',
  'better-sqlite3',
  'gpt-tokenizer',
  'tiktoken',
  '@langchain/core',
]

const named = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const isSaved = named.length === 0 || process.argv.includes('--save')
const unknown = named.filter((name) => !(name in PARTS))
if (unknown.length > 0) {
  console.error(`no part ${unknown.join(', ')}; there are: ${Object.keys(PARTS).join(', ')}`)
  process.exit(1)
}

if (isSaved && machine().addon.endsWith('BUILD')) {
  console.error(`nothing of this build is kept (${machine().addon}): npm run build makes the one to measure`)
  process.exit(1)
}

const folder = mkdtempSync(join(tmpdir(), 'thryd-results-'))
const begun = performance.now()
const minutes = () => `${((performance.now() - begun) / 60_000).toFixed(1)} min`

/** The peers. Who cannot be installed is missing in its rows, which say so. */
function install() {
  const args = ['install', '--prefix', import.meta.dirname, '--loglevel=error']
  const { status } = spawnSync('npm', args, { stdio: 'inherit', shell: process.platform === 'win32' })
  if (status !== 0) console.log(`npm ${args.join(' ')} ended with ${status}: some peers may be missing`)
}

/** Runs a part in a process of its own; what it kept, or why there is nothing. */
function run(name) {
  const { file, args } = PARTS[name]
  const script = join(import.meta.dirname, file)
  if (!existsSync(script)) return { contests: [], failure: `there is no benchmark/${file}` }
  const path = join(folder, name)
  writeFileSync(path, '')
  const { status, signal } = spawnSync(process.execPath, [script, ...args], {
    stdio: 'inherit',
    timeout: PATIENCE_MS,
    env: { ...process.env, [RECORDS]: path },
  })
  const contests = recorded(path)
  if (status === 0) return { contests }
  return { contests, failure: signal ? `it was ended by ${signal} (after ${minutes()})` : `it ended with ${status}` }
}

function versions() {
  const peers = [...PEERS, '@ai-sdk/openai-compatible'].map((name) => {
    try {
      return [name, versionOf(name)]
    } catch {
      return [name, 'not installed']
    }
  })
  const askers = Object.keys(ASKERS).map((name) => [name.split(',')[0], versionOfAsker(name)])
  return Object.fromEntries([...askers, ...peers].filter(([, one]) => one).toSorted())
}

const before = isSaved && existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, 'utf8')) : { parts: {}, contests: {} }
const all = Object.keys(PARTS).filter((name) => !PARTS[name].isOptional)
const parts = named.length > 0 ? named : all
const isKept = (part) => part in PARTS && !parts.includes(part)
if (named.length === 0) install()
const results = {
  thryd: version,
  machine: machine(),
  versions: versions(),
  parts: Object.fromEntries(Object.entries(before.parts).filter(([part]) => isKept(part))),
  contests: Object.fromEntries(Object.entries(before.contests).filter(([, { part }]) => isKept(part))),
}
const { commit } = results.machine
for (const [place, name] of parts.entries()) {
  console.log(`\n== ${name} (${place + 1} of ${parts.length}, after ${minutes()}, load ${load()})`)
  const at = new Date().toISOString().slice(0, 16)
  const [loadBefore, started] = [load(), performance.now()]
  const { contests, failure } = run(name)
  const seconds = Math.round((performance.now() - started) / 1000)
  if (failure) console.log(`   ${name} FAILED: ${failure}`)
  const command = `node benchmark/run.mjs ${name}`
  results.parts[name] = { command, at, commit, seconds, load: [loadBefore, load()], ...(failure && { failure }) }
  for (const { name: contest, ...rest } of contests) results.contests[contest] = { part: name, ...rest }
}
rmSync(folder, { recursive: true, force: true })

results.wanted = judge(results)
console.log(`\n== what was wanted, after ${minutes()}`)
for (const { work, against, wanted, reached, is, why } of results.wanted) {
  if (named.length > 0 && !is) continue
  console.log(
    `  ${(is ?? 'NOT MEASURED').padEnd(14)}${work}${against ? `, ${against}` : ''}: ${reached ?? why} (${wanted})`,
  )
}
if (isSaved) {
  writeFileSync(RESULTS, `${JSON.stringify(results, undefined, 1)}\n`)
  await import('./report.mjs')
}
const failed = Object.entries(results.parts).filter(([, { failure }]) => failure)
if (failed.length > 0) console.log(`\nparts that failed: ${failed.map(([name]) => name).join(', ')}`)
process.exitCode = parts.some((name) => results.parts[name].failure) ? 1 : 0
