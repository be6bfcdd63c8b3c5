// A file that a process had open when it was killed: how long opening it takes, and a first answer out of it.
//
//   node benchmark/run.mjs killed

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { compare } from './compare.mjs'
import { check, requestOf } from './conversation.mjs'
import { introduce, startMock, version } from './machine.mjs'

const ENTRIES = 100_000
const ROUNDS = 5
const AT_ONCE = 64

const [, script, role, path, baseUrl, first] = process.argv
const { Cache, CompletionRouter } = createRequire(import.meta.url)('..')

function newRouter(cache) {
  const router = new CompletionRouter({ cache })
  router.addProvider({ type: 'openai-compatible', name: 'mock', baseUrl })
  return router.deploy('default', 'mock::model')
}

/** Stores answers from this number on, says so when there are enough, and goes on until it is killed. */
async function write() {
  const router = newRouter({ path, memoryBytes: 0, maxBytes: 2 ** 32 })
  let next = Number(first)
  const one = async () => {
    const number = next++
    check((await router.invoke('default', requestOf(number))).content, number)
  }
  const some = () => Promise.all(Array.from({ length: AT_ONCE }, one))
  for (let isFilled = false; ; await some()) {
    if (isFilled || next < ENTRIES || !router.cache) continue
    await router.cache.flush()
    isFilled = true
    console.log(next)
  }
}

/** Opens the file, and asks for one answer in it, which is known to be there. */
async function open() {
  const begun = performance.now()
  const cache = await Cache.open({ path, memoryBytes: 0, maxBytes: 2 ** 32 })
  const opened = performance.now()
  const router = newRouter(cache)
  const answer = await router.invoke('default', requestOf(77), { cache: 'only-if-cached' })
  const answered = performance.now()
  check(answer.content, 77)
  console.log(JSON.stringify({ milliseconds: opened - begun, first: answered - begun }))
  process.exit()
}

async function measure() {
  introduce('medians of five rounds: a process that writes is killed (SIGKILL), then another one opens its file')
  const folder = mkdtempSync(join(tmpdir(), 'thryd-killed-'))
  const file = join(folder, 'cache')
  const mock = await startMock()
  const rounds = []
  let next = 0
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      const writer = spawn(process.execPath, [script, 'write', file, mock.baseUrl, next], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const [number] = await once(createInterface(writer.stdout), 'line')
      // In the middle of what it goes on to write.
      await new Promise((resolve) => setTimeout(resolve, 300 + 37 * round))
      writer.kill('SIGKILL')
      await once(writer, 'exit')
      next = Number(number) + 1_000_000
      const seen = execFileSync(process.execPath, [script, 'open', file, mock.baseUrl], { encoding: 'utf8' })
      rounds.push(JSON.parse(seen))
    }
    console.log(`${ENTRIES.toLocaleString('en')} entries and more, ${Math.round(statSync(file).size / 2 ** 20)} MiB`)
  } finally {
    mock.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  compare({
    name: 'killed',
    title: 'a file of 100,000 entries is opened after kill -9',
    measures: ['milliseconds', 'first'],
    entries: [{ name: 'thryd', version, rounds }],
  })
}

if (role === 'write') await write()
else if (role === 'open') await open()
else await measure()
