import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, describe, expect, test } from 'vitest'

import { run } from './support/run'

const folder = mkdtempSync(join(tmpdir(), 'thryd-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const answer = (options: object): string => `
  import { CompletionRouter } from 'thryd'
  const router = new CompletionRouter(${JSON.stringify({ providers: [{ type: 'dummy', dummy: { cache: true } }], ...options })})
  router.deploy('default', 'dummy::echo')
  const { cache, content } = await router.invoke('default', { message: 'Hello' })
  console.log(JSON.stringify({ cache, content }))`

describe('a script', () => {
  test('ends by itself, without close(), and the next one finds its answer on disk', () => {
    const cache = join(folder, 'cache.redb')
    expect(run(answer({ cache }))).toEqual({ cache: 'miss', content: 'Hello' })
    expect(run(answer({ cache }))).toEqual({ cache: 'disk', content: 'Hello' })
  })

  test('that exits in the middle keeps what it had', () => {
    const cache = join(folder, 'exit.redb')
    expect(run(`${answer({ cache })}\nprocess.exit(0)`)).toEqual({ cache: 'miss', content: 'Hello' })
    expect(run(answer({ cache }))).toEqual({ cache: 'disk', content: 'Hello' })
  })

  test('that leaves a stream unread ends all the same', () => {
    const source = `
      import { CompletionRouter } from 'thryd'
      const mine = { name: 'mine', async *complete() { yield 'one '; await new Promise(() => {}) } }
      const router = new CompletionRouter({ providers: [mine] }).deploy('default', 'mine::model')
      const stream = router.stream('default', { message: 'Hi' })
      const { value } = await stream[Symbol.asyncIterator]().next()
      console.log(JSON.stringify(value))`
    expect(run(source)).toEqual({ type: 'content', delta: 'one ' })
  })

  test('can route from several worker threads, one of them ended in the middle', () => {
    const worker = `
      const { parentPort } = require('node:worker_threads')
      const { CompletionRouter } = require('thryd')
      const router = new CompletionRouter({ providers: [{ type: 'dummy' }] }).deploy('default', 'dummy::echo')
      router.invoke('default', { message: 'Hello' }).then(({ content }) => parentPort.postMessage(content))`
    const hanging = `
      const { parentPort } = require('node:worker_threads')
      const { CompletionRouter } = require('thryd')
      const router = new CompletionRouter({ providers: [{ type: 'dummy', dummy: { latencyMs: 3_600_000 } }] })
      router.deploy('default', 'dummy::echo').invoke('default', { message: 'Hello' })
      parentPort.postMessage('under way')`
    const source = `
      import { Worker } from 'node:worker_threads'
      import { once } from 'node:events'
      const start = (source) => new Worker(source, { eval: true, execArgv: [] })
      const ended = start(${JSON.stringify(hanging)})
      await once(ended, 'message')
      await ended.terminate()
      const workers = Array.from({ length: 3 }, () => start(${JSON.stringify(worker)}))
      const messages = await Promise.all(workers.map(async (worker) => {
        const [[message]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')])
        return message
      }))
      console.log(JSON.stringify(messages))`
    expect(run(source)).toEqual(['Hello', 'Hello', 'Hello'])
  })
})
