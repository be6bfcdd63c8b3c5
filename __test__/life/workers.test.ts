import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { busy, lost, served } from '../support/busy'
import { Files } from '../support/files'
import { printed, run } from '../support/script'
import { TestServer } from '../support/server'

let server: TestServer
const files = new Files('workers')

beforeAll(async () => {
  server = await TestServer.start(served)
})
afterAll(() => server.close())

/** For scripts: `start(code, name)` starts a worker whose code has `thryd`, `router()` and `busy()`, and says what it posts. */
const workers = `
  import { once } from 'node:events'
  import { Worker } from 'node:worker_threads'
  const [, baseUrl, path] = process.argv
  const prelude = ${JSON.stringify(`
    const { parentPort, workerData } = require('node:worker_threads')
    const thryd = require(workerData.root)
    const { baseUrl, path, name } = workerData
    const router = (cache = path) => new thryd.CompletionRouter({ cache, providers: [
      { type: 'openai-compatible', name: 'local', baseUrl },
    ] }).deploy('default', 'local::m')
    const ask = async (message, of = router()) => (await of.invoke('default', { message })).content
    const say = (what) => parentPort.postMessage(what)
    ${busy}
    const beBusy = async () => {
      const { answered, enough } = busy(thryd, baseUrl, path, name)
      await enough
      say([...answered])
    }
  `)}
  const start = (code, name = 'w') =>
    // It is CommonJS, unlike the script around it.
    new Worker(prelude + code, { eval: true, execArgv: [], workerData: { root: process.cwd(), baseUrl, path, name } })
  const said = async (worker) => {
    const failed = once(worker, 'error').then(([error]) => { throw error })
    const [what] = await Promise.race([once(worker, 'message'), failed])
    return what
  }
  const print = (value) => console.log(JSON.stringify(value))
`
/** The same for the main thread. */
const main = `
  import * as thryd from 'thryd'
  const router = (cache = path) => new thryd.CompletionRouter({ cache, providers: [
    { type: 'openai-compatible', name: 'local', baseUrl },
  ] }).deploy('default', 'local::m')
  const ask = async (message, of = router()) => (await of.invoke('default', { message })).content
`

describe('workers in the middle of everything', () => {
  test('may be terminated, five at once, while the main thread goes on with their file', async () => {
    const path = files.fresh()
    const source = `${workers}${main}${busy}
      const own = busy(thryd, baseUrl, path, 'main')
      const all = ['a', 'b', 'c', 'd', 'e'].map((name) => start('void beBusy()', name))
      const answered = await Promise.all(all.map(said))
      const ended = await Promise.all(all.map((worker) => worker.terminate()))
      await own.enough
      const before = own.answered.length
      while (own.answered.length < before + 5) await new Promise((resolve) => setTimeout(resolve, 5))
      print({ ended, answered: [...answered.flat(), ...own.answered] })
      process.exit()`
    const { ended, answered } = (await printed(source, server.url, path)) as { ended: number[]; answered: string[] }
    expect(ended).toEqual([1, 1, 1, 1, 1])
    expect(await lost(path, answered)).toEqual([])
  })

  test.each([
    ['by itself, when it has terminated them', 'await Promise.all(all.map((worker) => worker.terminate()))', 0],
    ['by process.exit()', 'process.exit(7)', 7],
    ['by an error', "throw new Error('mine')", 1],
  ])('may be there when a main thread that does not know thryd ends %s', async (_name, end, code) => {
    const path = files.fresh()
    const source = `${workers}
      const all = ['a', 'b'].map((name) => start('void beBusy()', name))
      const answered = await Promise.all(all.map(said))
      print(answered.flat())
      ${end}`
    const ended = await run(source, server.url, path)
    expect(ended).toMatchObject({ code, signal: null })
    expect(await lost(path, JSON.parse(ended.stdout) as string[])).toEqual([])
  })
})

describe('what a worker was answered is kept', () => {
  // Calls that hang hold the file on the runtime's thread when the worker has gone.
  const last = `(async () => {
    const own = router()
    await ask('first', own)
    await own.cache.flush()
    for (let call = 0; call < 20; call += 1) ask('hang ' + call, own).catch(() => undefined)
    await ask('last', own)
    say('answered')
    setInterval(() => undefined, 1000)
  })()`

  test.concurrent.each([
    ['it is terminated and the process ends by itself', 'await worker.terminate()'],
    ['it is terminated and the process exits', 'await worker.terminate(); process.exit()'],
    ['the process exits', 'process.exit()'],
    ['nobody waits for it any more', 'worker.unref()'],
  ])('when %s', async (_name, end) => {
    const path = files.fresh()
    const source = `${workers}
      const worker = start(${JSON.stringify(last)})
      await said(worker)
      ${end}`
    expect(await run(source, server.url, path)).toEqual({ code: 0, signal: null, stdout: '', stderr: '' })
    expect(await lost(path, ['last'])).toEqual([])
  })
})

describe('a worker', () => {
  test.concurrent('that exits, or fails, does so alone', async () => {
    const source = `${workers}
      const ends = async (code) => {
        const worker = start(code)
        let failure
        worker.on('error', (error) => { failure = error.message })
        const [exit] = await new Promise((resolve) => worker.on('exit', (...how) => resolve(how)))
        return [exit, failure]
      }
      const other = start("ask('one').then(say); parentPort.once('message', () => ask('two').then(say))")
      const first = await said(other)
      const ended = await Promise.all([
        ends("ask('a').then(() => process.exit(3))"),
        ends("ask('hang').catch(() => undefined); ask('b').then(() => process.exit(4))"),
        ends("ask('c').then(() => { throw new Error('mine') })"),
        ends("ask('d')"),
      ])
      other.postMessage('go on')
      print([ended, first, await said(other)])`
    expect(await printed(source, server.url, files.fresh())).toEqual([
      [
        [3, null],
        [4, null],
        [1, 'mine'],
        [0, null],
      ],
      'one',
      'two',
    ])
  })

  test.concurrent('may load it first and end, before the main thread does', async () => {
    const source = `${workers}
      const ended = []
      for (const name of ['a', 'b']) {
        const worker = start("ask('of ' + name).then(say)", name)
        const gone = once(worker, 'exit')
        ended.push(await said(worker))
        await gone
      }
      const thryd = await import('thryd')
      const router = new thryd.CompletionRouter({ cache: path, providers: [
        { type: 'openai-compatible', name: 'local', baseUrl },
      ] }).deploy('default', 'local::m')
      for (const message of ['of a', 'of main']) {
        const answer = await router.invoke('default', { message })
        ended.push([answer.content, answer.cache])
      }
      const worker = start("ask('of main').then(say)")
      ended.push(await said(worker))
      print(ended)`
    expect(await printed(source, server.url, files.fresh())).toEqual([
      'of a',
      'of b',
      ['of a', 'disk'],
      ['of main', 'miss'],
      'of main',
    ])
  })

  test.concurrent('may start workers of its own', async () => {
    const inner = "ask('inner').then(say)"
    const outer = `
      const { Worker } = require('node:worker_threads')
      const own = router()
      const worker = new Worker(${JSON.stringify('PRELUDE')}, { eval: true, workerData })
      worker.on('message', async (inner) => say([inner, await ask('outer', own)]))`
    const source = `${workers}${main}
      const nested = ${JSON.stringify(outer)}.replace(${JSON.stringify('"PRELUDE"')}, () => JSON.stringify(prelude + ${JSON.stringify(inner)}))
      const own = router()
      const worker = start(nested)
      const heard = await said(worker)
      print([heard, await ask('main', own)])`
    expect(await printed(source, server.url, files.fresh())).toEqual([['inner', 'outer'], 'main'])
  })
})
