// Five worker threads at once over one cache file: an equal question is asked of the provider once; ended in the middle of their
// calls, they leave no socket behind, and the main thread works on.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'

import { CompletionRouter } from 'thryd'
import { FaultServer } from 'thryd/testing'

function createRouter({ provider, path }) {
  const router = new CompletionRouter({ providers: [provider], cache: { path } }).deploy('default', 'faulty::ok')
  return router.deploy('hanging', 'faulty::hang').deploy('stalling', 'faulty::stall')
}

if (isMainThread) await main()
else work()

function work() {
  const router = createRouter(workerData)
  parentPort.on('message', async (message) => {
    if (message === 'hang') {
      const stream = router.stream('stalling', { message: 'one two three four' }, { cache: 'no-store' })
      await stream[Symbol.asyncIterator]().next()
      router.invoke('hanging', { message: 'Hello' }, { cache: 'no-store' })
      parentPort.postMessage('hangs')
      return
    }
    const { content, cache } = await router.invoke('default', { message })
    parentPort.postMessage({ content, cache })
  })
}

async function main() {
  const server = await FaultServer.start()
  const setting = {
    provider: server.provider('faulty'),
    path: `${import.meta.dirname ?? '.'}/threads-${process.pid}.redb`,
  }
  const router = createRouter(setting)
  for (let round = 0; round < 3; round += 1) {
    const workers = Array.from({ length: 5 }, () => new Worker(new URL(import.meta.url), { workerData: setting }))
    const ask = async (worker, question) => {
      worker.postMessage(question)
      return (await once(worker, 'message'))[0]
    }
    const asked = server.requests.length
    const question = `question ${round}`
    assert.deepEqual(await ask(workers[0], question), { content: question, cache: 'miss' })
    for (const worker of workers) assert.equal((await ask(worker, question)).content, question)
    assert.notEqual((await router.invoke('default', { message: question })).cache, 'miss')
    assert.equal(server.requests.length, asked + 1)

    await Promise.all(workers.map((worker) => ask(worker, 'hang')))
    await server.waitFor(() => server.requests.length === asked + 11)
    await Promise.all(workers.map((worker) => worker.terminate()))
    const left = server.requests.slice(asked + 1)
    // Some hosts do not tell an addon that its worker has ended.
    if (!process.env.UNTOLD) await server.waitFor(() => left.every(({ endedBy }) => endedBy === 'client'))
    const { content, cache } = await router.invoke('default', { message: `afterwards ${round}` })
    assert.deepEqual({ content, cache }, { content: `afterwards ${round}`, cache: 'miss' })
  }
  const { readErrors, writeErrors } = router.stats().cache
  assert.deepEqual({ readErrors, writeErrors }, { readErrors: 0, writeErrors: 0 })
  await server.close()
  await router.close()
  rmSync(setting.path)
  console.log('works')
}
