import { once } from 'node:events'

import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'

import { CompletionRouter } from '..'
import { caught } from './support/caught'
import { Files } from './support/files'
import { printed, run } from './support/script'
import { TestServer, beginEvents, echo, event, piece } from './support/server'

let server: TestServer
const files = new Files('life')

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

/** A router of the server, with a cache if there is a second argument. */
const begin = `
  import { CompletionRouter } from 'thryd'
  const [, baseUrl, cache] = process.argv
  const router = new CompletionRouter(cache ? { cache } : {})
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl }).deploy('default', 'local::m')
`

describe('a process ends by itself', () => {
  test('when its routers are idle, a cache and custom providers included', async () => {
    const source = `${begin}
      await router.mountCache(cache)
      router.addProvider({ name: 'mine', complete: async () => 'x' }).deploy('mine', 'mine::m')
      await router.invoke('mine', { message: 'Hi' })
      globalThis.kept = router
      console.log(JSON.stringify(router.groups()))`
    expect(await printed(source, server.url, files.fresh())).toEqual(['default', 'mine'])
  })

  test('when its only call was answered, and the next one finds the answer on disk', async () => {
    const path = files.fresh()
    const source = `${begin}
      const answer = await router.invoke('default', { message: 'What is kept?' })
      console.log(JSON.stringify([answer.content, answer.cache]))`
    expect(await printed(source, server.url, path)).toEqual(['What is kept?', 'miss'])
    expect(await printed(source, server.url, path)).toEqual(['What is kept?', 'disk'])
    expect(server.seen).toHaveLength(1)
  })

  test('at process.exit() too, and keeps what it was answered', async () => {
    const path = files.fresh()
    const source = `${begin}
      const answer = await router.invoke('default', { message: 'Quick' })
      process.stdout.write(JSON.stringify(answer.cache), () => process.exit(0))`
    expect(await printed(source, server.url, path)).toBe('miss')
    expect(await printed(source, server.url, path)).toBe('disk')
    const bare = `${begin}
      await router.invoke('default', { message: 'Quicker' })
      process.exit(3)`
    expect(await run(bare, server.url, path)).toMatchObject({ code: 3, signal: null, stderr: '' })
    const again = `${begin}
      console.log(JSON.stringify((await router.invoke('default', { message: 'Quicker' })).cache))`
    expect(await printed(again, server.url, path)).toBe('disk')
  })

  test('while a stream lies about unread, or half read', async () => {
    server.answer = async (_seen, response) => {
      beginEvents(response)
      await event(response, piece({ content: 'Hel' }))
    }
    const source = `${begin}
      globalThis.unread = router.stream('default', { message: 'Hi' })
      const reader = router.stream('default', { message: 'Hi' })[Symbol.asyncIterator]()
      console.log(JSON.stringify((await reader.next()).value.delta))
      globalThis.half = reader`
    expect(await printed(source, server.url)).toBe('Hel')
    expect(server.seen).toHaveLength(1)
  })

  test('after close(), which may come twice', async () => {
    const source = `${begin}
      await router.invoke('default', { message: 'Hi' })
      await Promise.all([router.close(), router.close()])
      const error = await router.invoke('default', { message: 'Hi' }).catch((error) => error)
      console.log(JSON.stringify(error.code))`
    expect(await printed(source, server.url, files.fresh())).toBe('ERR_CLOSED')
  })

  test('with an error of its own as any process does', async () => {
    const source = `${begin}
      await router.invoke('nope', { message: 'Hi' })`
    const ended = await run(source, server.url)
    expect(ended.code).toBe(1)
    expect(ended.stderr).toContain('no group "nope"; there are: default')
    expect(ended.stderr).toContain('ERR_NO_GROUP')
  })
})

test('a process does not end before its call is answered', async () => {
  server.answer = async (seen, response) => {
    // Long after the script's last line.
    await new Promise((resolve) => setTimeout(resolve, 300))
    await echo(seen, response)
  }
  const source = `${begin}
    router.invoke('default', { message: 'late' }).then((answer) => console.log(JSON.stringify(answer.content)))`
  expect(await printed(source, server.url)).toBe('late')
})

describe('worker threads', () => {
  const worker = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { CompletionRouter } = require(workerData.root)
    const { baseUrl, cache, number } = workerData
    const router = new CompletionRouter({ cache })
    router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl }).deploy('default', 'local::m')
    router.addProvider({ name: 'mine', complete: () => new Promise(() => {}) }).deploy('mine', 'mine::m')
    router.invoke('default', { message: 'worker ' + number }).then(async (answer) => {
      router.invoke('default', { message: 'hang ' + number }).catch(() => {})
      router.invoke('mine', { message: 'hang ' + number }).catch(() => {})
      const stream = router.stream('default', { message: 'hang stream ' + number })
      stream[Symbol.asyncIterator]().next().catch(() => {})
      parentPort.postMessage(answer.content)
      setInterval(() => {}, 1000)
    })`

  test('leave nothing open that they had begun, streams included, when they are ended', async () => {
    const left: Promise<unknown>[] = []
    server.answer = async (seen, response) => {
      if (seen.text.includes('hang')) {
        left.push(once(response, 'close'))
        return
      }
      if (seen.text.includes('until')) await vi.waitUntil(() => left.length === 2, { timeout: 10_000 })
      // Answered when all of them are closed.
      if (seen.text.includes('gone')) await Promise.all(left)
      await echo(seen, response)
    }
    const source = `${begin}
      import { Worker } from 'node:worker_threads'
      const worker = new Worker(${JSON.stringify(worker)}, {
        eval: true,
        execArgv: [],
        workerData: { root: process.cwd(), baseUrl, cache, number: 1 },
      })
      await new Promise((resolve) => worker.once('message', resolve))
      await router.invoke('default', { message: 'until they are there' })
      await worker.terminate()
      console.log(JSON.stringify((await router.invoke('default', { message: 'gone?' })).content))`
    expect(await printed(source, server.url, files.fresh())).toBe('gone?')
    expect(left).toHaveLength(2)
  })

  test('share one cache, and may be ended in the midst of calls', async () => {
    server.answer = (seen, response) => (seen.text.includes('hang') ? undefined : echo(seen, response))
    const source = `${begin}
      import { Worker } from 'node:worker_threads'
      const workers = [1, 2, 3].map((number) => new Worker(${JSON.stringify(worker)}, {
        eval: true,
        // It is CommonJS, unlike the script around it.
        execArgv: [],
        workerData: { root: process.cwd(), baseUrl, cache, number },
      }))
      const said = await Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      })))
      const codes = await Promise.all(workers.map((worker) => worker.terminate()))
      const answers = []
      for (const message of ['worker 1', 'worker 2', 'worker 3', 'main']) {
        const answer = await router.invoke('default', { message })
        answers.push([answer.content, answer.cache === 'miss'])
      }
      console.log(JSON.stringify({ said, codes, answers }))`
    const { said, codes, answers } = (await printed(source, server.url, files.fresh())) as Record<string, unknown>
    expect(said).toEqual(['worker 1', 'worker 2', 'worker 3'])
    expect(codes).toEqual([1, 1, 1])
    expect(answers).toEqual([
      ['worker 1', false],
      ['worker 2', false],
      ['worker 3', false],
      ['main', true],
    ])
  })
})

describe('closing', () => {
  test('waits for the calls in flight and refuses new ones', async () => {
    let finish = (): void => undefined
    server.answer = (seen, response) => {
      finish = () => void echo(seen, response)
    }
    const router = new CompletionRouter()
    router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url }).deploy('default', 'local::m')
    const answer = router.invoke('default', { message: 'in flight' })
    await server.received()
    let isClosed = false
    const closed = router.close().then(() => (isClosed = true))
    expect(await caught(router.invoke('default', { message: 'too late' }))).toMatchObject({ code: 'ERR_CLOSED' })
    expect(await caught(router.stream('default', { message: 'too late' }).completion())).toMatchObject({
      code: 'ERR_CLOSED',
    })
    expect(isClosed).toBe(false)
    finish()
    expect(`${await answer}`).toBe('in flight')
    await closed
    expect(server.seen).toHaveLength(1)
  })

  test('of a router leaves a cache that others use open', async () => {
    const cache = files.fresh()
    const make = () => {
      const router = new CompletionRouter({ cache })
      return router
        .addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
        .deploy('d', 'local::m')
    }
    const [one, two] = [make(), make()]
    await one.invoke('d', { message: 'shared' })
    await one.close()
    expect(await two.invoke('d', { message: 'shared' })).toMatchObject({ cache: expect.stringMatching(/memory|disk/) })
    expect(await two.invoke('d', { message: 'new' })).toMatchObject({ cache: 'miss' })
    await two.close()
    expect(await make().invoke('d', { message: 'new' })).toMatchObject({
      cache: expect.stringMatching(/memory|disk/),
    })
    expect(server.seen).toHaveLength(2)
  })
})
