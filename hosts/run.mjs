// thryd where it is to run, each time installed from the packed tarballs (`npm run pack`) into an empty project:
//
//   node hosts/run.mjs [host...]     runs all hosts, or those that are named (as the files in tests/), and compares with docs/hosts.md
//     --update                       writes docs/hosts.md
//     --quick                        the runtimes' part, for the gate: a minute
//     --pack <folder>                where the tarballs are, if not in pack/
//     --keep                         leaves the projects where they were made
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

import { platforms, root } from '../scripts/platforms.mjs'
import { Unavailable } from './project.mjs'
import { startRegistry } from './registry.mjs'
import { compareRows, leftRows, writeRows } from './table.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    update: { type: 'boolean' },
    quick: { type: 'boolean' },
    keep: { type: 'boolean' },
    pack: { type: 'string', default: join(root, 'pack') },
  },
})

/** In the order of the table. */
const HOSTS = [
  'node',
  'typescript',
  'installers',
  'threads',
  'processes',
  'vitest',
  'jest',
  'next',
  'bundlers',
  'bun',
  'deno',
  'electron',
  'systems',
]
const QUICK = new Set(['node', 'threads', 'processes', 'vitest', 'bundlers'])

const strange = positionals.filter((name) => !HOSTS.includes(name))
if (strange.length > 0) {
  console.error(`${strange.join(', ')}: no such host. There are ${HOSTS.join(', ')}.`)
  process.exit(1)
}

/** The versions of Node that thryd is for. */
const MAJORS = [20, 22, 24, 26]

/** The Node of a major version, as it is installed here. */
function findNode(major) {
  const path = join(import.meta.dirname, `node_modules/node-${major}-${process.platform}-${process.arch}/bin/node`)
  if (!existsSync(path)) return undefined
  return { path, version: execFileSync(path, ['--version'], { encoding: 'utf8' }).trim().slice(1) }
}

/** Runs a script of a project under each Node. */
async function underNodes(tell, project, what, script, { majors = MAJORS, ...options } = {}) {
  for (const major of majors) {
    const node = findNode(major)
    await tell({ host: `Node ${major}`, version: node?.version, what }, async () => {
      if (!node) throw new Unavailable('it is not installed (npm ci --prefix hosts)')
      await project.works(script, { node: node.path, ...options })
    })
  }
}

const temporary = mkdtempSync(join(tmpdir(), 'thryd-hosts-'))
process.on('exit', () => {
  if (values.keep) console.log(`The projects are in ${temporary}.`)
  else rmSync(temporary, { recursive: true, force: true })
})
const registry = await startRegistry(resolve(values.pack), platforms)
// The oldest and the newest, where it is to be quick and the way of loading is not what it is about.
const some = values.quick ? [MAJORS.at(0), MAJORS.at(-1)] : MAJORS
const world = { temporary, registry, node: process.execPath, underNodes, some, quick: values.quick ?? false }

const rows = []
/** Runs one test and notes what came of it: what it gives, or that it works. */
async function test({ host, version = '', what }, run) {
  const startedAt = performance.now()
  let result
  try {
    result = (await run()) ?? 'works'
  } catch (error) {
    const isAbsent = error instanceof Unavailable
    result = `${isAbsent ? 'not run' : 'fails'}: ${error.message.split('\n')[0]}`
    if (!isAbsent) console.log(error.stack)
  }
  rows.push({ host, version, what, result })
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  console.log(`${[host, version].filter(Boolean).join(' ')}: ${what}: ${result} (${seconds} s)`)
}

let isFull = positionals.length === 0 && !values.quick
const names = positionals.length > 0 ? HOSTS.filter((name) => positionals.includes(name)) : HOSTS
for (const name of names.filter((one) => !values.quick || QUICK.has(one))) {
  const { default: run } = await import(`./tests/${name}.mjs`)
  try {
    await run(world, test)
  } catch (error) {
    isFull = false
    const isAbsent = error instanceof Unavailable
    console.log(
      `${name}: ${isAbsent ? 'NOT RUN' : 'fails'}: ${isAbsent ? error.message : error.stack}`,
      error.cause ?? '',
    )
    if (!isAbsent) process.exitCode = 1
  }
}
registry.close()

const failed = rows.filter(({ result }) => result.startsWith('fails'))
if (values.update) {
  writeRows(rows)
  console.log('docs/hosts.md is written.')
} else {
  const different = [...compareRows(rows), ...(isFull ? leftRows(rows) : [])]
  if (different.length > 0) {
    console.error(`\nNot what docs/hosts.md says (--update writes it):\n${different.join('\n')}`)
    process.exitCode = 1
  }
}
if (failed.length > 0) process.exitCode = 1
// Whatever a test that failed has left behind.
process.exit()
