import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { lost, served } from '../support/busy'
import { run } from '../support/script'
import { TestServer, echo } from '../support/server'

let server: TestServer
let folder: string
let files = 0

beforeAll(async () => {
  // Long after the last line of a script.
  server = await TestServer.start(async (seen, response) => {
    if (seen.text.includes('slow')) await new Promise((resolve) => setTimeout(resolve, 100))
    await (seen.text.includes('slow') ? echo : served)(seen, response)
  })
  folder = mkdtempSync(join(tmpdir(), 'thryd-held-'))
})
afterAll(async () => {
  await server.close()
  rmSync(folder, { recursive: true })
})

/** Runs a script; gives what it has printed with `print`, how long it lived after its last line, and its cache. */
async function ended(source: string): Promise<{ said: unknown[]; lived: number; path: string }> {
  files += 1
  const path = join(folder, `${files}.redb`)
  const script = `
    import { Cache, CompletionRouter, EmbeddingRouter, UsageTracker, countTokensAsync } from 'thryd'
    const [, baseUrl, path] = process.argv
    const print = (value) => console.log(JSON.stringify(value))
    const local = { type: 'openai-compatible', name: 'local', baseUrl }
    const router = new CompletionRouter({ cache: path, providers: [local] }).deploy('default', 'local::m')
    ${source}
    const last = performance.now()
    process.on('exit', () => print(performance.now() - last))`
  const { code, signal, stderr, stdout } = await run(script, server.url, path)
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' })
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
  return { lived: lines.pop() as number, said: lines, path }
}

describe('the process is not held', () => {
  test.concurrent.each([
    ['a router that was made', ''],
    [
      'a cache that is open, beside routers that were used',
      `
      globalThis.kept = [await Cache.open(path), router, new EmbeddingRouter(), new UsageTracker({ rpm: 1 })]
      await router.invoke('default', { message: 'Hi' })
      await countTokensAsync('Hi', 'r50k_base')`,
    ],
    [
      'a stream that nobody reads on',
      `
      const reader = router.stream('default', { message: 'stall' })[Symbol.asyncIterator]()
      await reader.next()
      globalThis.kept = [reader, router.stream('default', { message: 'stall' })]`,
    ],
    [
      'a batch that nobody reads on',
      `
      const requests = Array.from({ length: 100 }, (_, index) => ({ message: index === 0 ? 'Hi' : 'hang ' + index }))
      const reader = router.invokeMany('default', requests)[Symbol.asyncIterator]()
      await reader.next()
      globalThis.kept = reader`,
    ],
    [
      'a batch whose requests do not come',
      `
      const never = { async *[Symbol.asyncIterator]() {
        yield { message: 'Hi' }
        await new Promise(() => {})
      } }
      const reader = router.invokeMany('default', never)[Symbol.asyncIterator]()
      await reader.next()
      void reader.next()
      globalThis.kept = reader`,
    ],
    [
      'a custom provider that nobody waits for',
      `
      const controller = new AbortController()
      router.addProvider({ name: 'mute', complete: () => new Promise(() => {}) }).deploy('mute', 'mute::m')
      const call = router.invoke('mute', { message: 'Hi' }, { signal: controller.signal }).catch(() => {})
      await new Promise((resolve) => setTimeout(resolve, 20))
      controller.abort()
      await call`,
    ],
    [
      'a signal that did not fire',
      `
      globalThis.kept = new AbortController()
      await router.invoke('default', { message: 'Hi' }, { signal: globalThis.kept.signal })`,
    ],
    [
      'an idle worker',
      `
      const { Worker } = await import('node:worker_threads')
      const code = "const { CompletionRouter } = require(require('node:worker_threads').workerData); globalThis.kept = new CompletionRouter()"
      new Worker(code, { eval: true, execArgv: [], workerData: process.cwd() })`,
    ],
  ])('by %s', async (_name, source) => {
    // Seconds would be somebody's clock.
    expect((await ended(source)).lived).toBeLessThan(5000)
  })
})

describe('the process is held', () => {
  test.concurrent.each<[string, string, unknown[]]>([
    [
      'a call, until it is answered',
      `router.invoke('default', { message: 'slow' }).then(({ content }) => print(content))`,
      ['slow'],
    ],
    [
      'a call, until it has failed',
      `const mine = { name: 'mine', complete: async () => { await 0; throw Object.assign(new Error('mine'), { status: 400 }) } }
       router.addProvider(mine).deploy('mine', 'mine::m').invoke('mine', { message: 'Hi' }).catch(({ code }) => print(code))`,
      ['ERR_PROVIDER'],
    ],
    [
      'a stream that is read, until its end',
      `const read = async () => { for await (const { delta } of router.stream('default', { message: 'slow one' })) print(delta) }
       void read()`,
      ['slow ', 'one'],
    ],
    [
      'a batch that is read, until its end',
      `const read = async () => { for await (const { content } of router.invokeMany('default', [{ message: 'slow' }])) print(content) }
       void read()`,
      ['slow'],
    ],
    ['the opening of a cache', `Cache.open(path).then((cache) => print(cache.stats().entries))`, [0]],
    ['a count', `countTokensAsync('Hi', 'r50k_base').then(print)`, [1]],
    [
      'a call that the closing of its router waits for',
      `router.invoke('default', { message: 'slow' }).then(({ content }) => print(content))
       router.close().then(() => print('closed'))`,
      ['slow', 'closed'],
    ],
  ])('by %s', async (_name, source, said) => {
    expect((await ended(source)).said).toEqual(said)
  })

  test.concurrent.each([
    ['flush()', 'const { cache } = router; cache.flush()'],
    ['close() of the cache', 'const { cache } = router; cache.close()'],
    ['close() of the router', 'router.close()'],
  ])('by %s, until all is on disk', async (_name, act) => {
    const source = `
      const questions = Array.from({ length: 20 }, (_, index) => 'question ' + index)
      await Promise.all(questions.map((message) => router.invoke('default', { message })))
      {
        ${act}.then(() => print(questions))
      }`
    const { said, path } = await ended(source)
    expect(said).toHaveLength(1)
    expect(await lost(path, said[0] as string[])).toEqual([])
  })
})
