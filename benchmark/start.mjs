// What it costs to have it: loading the package, a first answer in a new process, and what is installed. Each measure is of
// processes of their own, contestants taking turns.
//
//   node benchmark/run.mjs start            after `npm run build`; 15 rounds

import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { compare } from './compare.mjs'
import { introduce, startMock, version } from './machine.mjs'
import { versionOf } from './peers.mjs'

const ROUNDS = Number(process.argv[2] ?? 15)
const TIMEOUT_MS = 30_000

/** What loading may take: the quickest of the processes, as others on the machine only make it slower. */
const MOST_LOAD_MS = 5
const MOST_LOAD_MIB = 8

const folder = mkdtempSync(join(tmpdir(), 'thryd-start-'))

/** How each is loaded, and how it asks for its first answer; `url` is the server's. */
const CONTESTANTS = {
  'bare Node': { load: '', ask: '' },
  thryd: {
    module: '..',
    load: `const { CompletionRouter } = require('../dist/index.js')`,
    ask: `const router = new CompletionRouter({ providers: [{ type: 'openai-compatible', name: 'mock', baseUrl: url }] })
      router.deploy('default', 'mock::model')
      text = (await router.invoke('default', { message: 'Hi' })).content`,
  },
  'thryd, answer from its file': {
    module: '..',
    load: `const { CompletionRouter } = require('../dist/index.js')`,
    ask: `const router = new CompletionRouter({
        providers: [{ type: 'openai-compatible', name: 'mock', baseUrl: url }],
        cache: { path: ${JSON.stringify(join(folder, 'cache.redb'))} },
      })
      router.deploy('default', 'mock::model')
      text = (await router.invoke('default', { message: 'Hi' })).content`,
  },
  'thryd, with a limit of tokens': {
    module: '..',
    load: `const { CompletionRouter } = require('../dist/index.js')`,
    ask: `const router = new CompletionRouter({ providers: [{ type: 'openai-compatible', name: 'mock', baseUrl: url }] })
      router.deploy('default', 'mock::gpt-4o', { tpm: 1_000_000 })
      text = (await router.invoke('default', { message: 'Hi' })).content`,
  },
  fetch: {
    load: '',
    ask: `const response = await fetch(url + '/chat/completions', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'model', messages: [{ role: 'user', content: 'Hi' }] }),
      })
      text = (await response.json()).choices[0].message.content`,
  },
  openai: {
    module: 'openai',
    load: `const { default: OpenAI } = require('openai')`,
    ask: `const client = new OpenAI({ apiKey: 'none', baseURL: url })
      const completion = await client.chat.completions.create({ model: 'model', messages: [{ role: 'user', content: 'Hi' }] })
      text = completion.choices[0].message.content`,
  },
  ai: {
    module: 'ai',
    load: `const { generateText } = await import('ai')
      const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible')`,
    ask: `const model = createOpenAICompatible({ name: 'mock', baseURL: url })('model')
      text = (await generateText({ model, prompt: 'Hi' })).text`,
  },
  '@xberg-io/liter-llm': {
    module: '@xberg-io/liter-llm',
    load: `const { createClient } = require('@xberg-io/liter-llm')`,
    ask: `const client = createClient('none', url)
      const answer = await client.chat({ model: 'openai/model', messages: [{ role: 'user', content: 'Hi' }] })
      text = answer.choices[0].message.content`,
  },
}

/** One process: what it prints of itself. */
function measure({ load, ask }, url) {
  const program = `(async () => {
    const url = ${JSON.stringify(url)}
    let text = 'x'
    globalThis.gc()
    const rss = () => process.memoryUsage.rss() / 1024 / 1024
    const rssBefore = rss()
    const begun = performance.now()
    ${load}
    const loaded = performance.now()
    const rssLoaded = rss()
    ${ask}
    const answered = performance.now()
    if (text.length === 0) throw new Error('an empty answer')
    console.log(JSON.stringify({ load: loaded - begun, first: answered - begun, rss: rssLoaded - rssBefore, rssAnswered: rss() - rssBefore }))
    process.exit()
  })().catch((error) => { console.error(error.message); process.exit(1) })`
  const begun = performance.now()
  const output = execFileSync(process.execPath, ['--expose-gc', '--eval', program], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
  })
  return { ...JSON.parse(output), process: performance.now() - begun }
}

/** The bytes of a folder, links not followed. */
function sizeOf(path) {
  const stat = lstatSync(path)
  if (!stat.isDirectory()) return stat.isSymbolicLink() ? 0 : stat.size
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0)
}

/** What is installed of a package, with the platform's own package but without its other dependencies. */
function installed(module) {
  if (module === undefined) return undefined
  if (module === '..') {
    const root = join(import.meta.dirname, '..')
    const files = [
      ...readdirSync(root),
      ...readdirSync(join(root, 'dist'), { recursive: true }).map((name) => join('dist', name)),
    ]
    const published = files.filter((name) => /^dist.*\.js(\.map)?$|^[a-z]+\.d\.ts$|^thryd\..*\.node$/.test(name))
    return published.reduce((sum, name) => sum + lstatSync(join(root, name)).size, 0)
  }
  const modules = join(import.meta.dirname, 'node_modules')
  const [scope] = module.split('/')
  const names = module.startsWith('@')
    ? readdirSync(join(modules, scope))
        .filter((name) => join(scope, name).startsWith(module))
        .map((name) => join(scope, name))
    : [module]
  return names.reduce((sum, name) => sum + sizeOf(join(modules, name)), 0)
}

introduce(
  `medians of ${ROUNDS} processes, contestants taking turns; load: the import; first: from the import to the first answer; RSS over what Node had before`,
)
const { baseUrl, stop } = await startMock()
const results = new Map()
for (let round = -1; round < ROUNDS; round += 1) {
  for (const [name, contestant] of Object.entries(CONTESTANTS)) {
    const { module } = contestant
    const isThere =
      module === undefined || module === '..' || existsSync(join(import.meta.dirname, 'node_modules', module))
    if (!isThere || results.get(name)?.missing) {
      results.set(name, { missing: results.get(name)?.missing ?? 'not installed' })
      continue
    }
    try {
      const result = measure(contestant, baseUrl)
      // The first round fills the caches of files.
      if (round >= 0) results.set(name, [...(results.get(name) ?? []), result])
    } catch (error) {
      results.set(name, {
        missing: String(error.stderr || error.message)
          .trim()
          .split('\n')[0],
      })
    }
  }
}
stop()
rmSync(folder, { recursive: true, force: true })

const isPackage = (name) => name && name !== '..'
const versionOfAll = { undefined: undefined, '..': version }
const entries = Object.entries(CONTESTANTS).map(([name, { module }]) => {
  const found = results.get(name)
  const known = found.missing || !isPackage(module) ? versionOfAll[module] : versionOf(module)
  if (found.missing) return { name, version: known, missing: found.missing }
  const size = installed(module)
  for (const round of found) round.files = size && size / 2 ** 20
  return { name, version: known, rounds: found }
})
// Ratios are to thryd, so it comes first.
entries.sort((one, other) => Number(other.name === 'thryd') - Number(one.name === 'thryd'))
compare({
  name: 'start',
  title: 'a new process: the import, and a first answer of a server on the same machine',
  measures: ['load', 'rss', 'first', 'rssAnswered', 'process', 'files'],
  entries,
})

const least = (key) => Math.min(...results.get('thryd').map((result) => result[key]))
const [load, rss] = [least('load'), least('rss')]
console.log(
  `\nthe quickest load of thryd: ${load.toFixed(1)} ms, ${rss.toFixed(1)} MiB (at most ${MOST_LOAD_MS} ms, ${MOST_LOAD_MIB} MiB)`,
)
if (load > MOST_LOAD_MS || rss > MOST_LOAD_MIB) process.exitCode = 1
