// Where it is measured, and what: the machine, its load, the versions. And the server that stands for a provider.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { bodies } from './bodies.mjs'

const MOCK = new URL('mock/', import.meta.url)

export const version = JSON.parse(readFileSync(new URL('../package.json', import.meta.url))).version

/** The load of the last minute: how many processes wanted a core. */
export const load = () => Number(loadavg()[0].toFixed(2))

/** What somebody needs to know who wants to compare numbers with theirs. */
export function machine() {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${process.arch} ${release()}`,
    node: process.version,
    rust: said('rustc', ['--version']),
    commit: said('git', ['describe', '--always', '--dirty']),
    addon: addon(),
  }
}

function said(command, args) {
  try {
    return execFileSync(command, args, { cwd: new URL('..', import.meta.url), encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch {
    return 'unknown'
  }
}

function addon() {
  const name = readdirSync(new URL('..', import.meta.url)).find((each) => each.endsWith('.node'))
  if (name === undefined) return 'none'
  const megabytes = statSync(new URL(`../${name}`, import.meta.url)).size / 1e6
  // An optimised addon has about 10 MB, one of build:dev several times that.
  return `${name}, ${megabytes.toFixed(1)} MB${megabytes > 25 ? ', NOT A RELEASE BUILD' : ''}`
}

export function introduce(
  how = 'medians of five rounds, contestants taking turns; the mock server shares the machine; CPU is that of this process',
) {
  const { cpu, cores, node, addon: built } = machine()
  if (built.endsWith('BUILD')) {
    console.log('CAUTION: the addon looks like one of `npm run build:dev`; `npm run build` makes the one to measure')
  }
  console.log(
    `thryd ${version}, Node ${node}, ${cpu}, ${cores} cores, ${process.platform} ${process.arch}, load ${load()}`,
  )
  console.log(how)
}

/** The server's program; built if it is not there, or older than what it is made of. */
function mockProgram() {
  const program = new URL(`target/release/thryd-mock${process.platform === 'win32' ? '.exe' : ''}`, MOCK)
  const sources = ['Cargo.toml', ...readdirSync(new URL('src', MOCK)).map((name) => `src/${name}`)]
  const newest = Math.max(...sources.map((name) => statSync(new URL(name, MOCK)).mtimeMs))
  if (!existsSync(program) || statSync(program).mtimeMs < newest) {
    execFileSync('cargo', ['build', '--release', '--locked', '--target-dir', 'target'], { cwd: MOCK, stdio: 'inherit' })
  }
  return program
}

/**
 * A server in a process of its own; it ends with ours.
 *
 * @returns `baseUrl`; `after(ms)`: the base URL of the same one when it waits so long before each answer; `stop()`
 */
export async function startMock() {
  const mock = spawn(fileURLToPath(mockProgram()), [], { stdio: ['pipe', 'pipe', 'inherit'] })
  mock.stdin.write(bodies())
  const [port] = await once(createInterface(mock.stdout), 'line')
  mock.unref()
  for (const stream of [mock.stdin, mock.stdout]) stream.unref()
  const origin = `http://127.0.0.1:${port}`
  return {
    baseUrl: `${origin}/v1`,
    after: (milliseconds) => (milliseconds > 0 ? `${origin}/after/${milliseconds}/v1` : `${origin}/v1`),
    stop: () => mock.kill(),
  }
}
