// A server of three cluster workers, each with a router over one cache file, and what is to be the same whichever worker answers.

import assert from 'node:assert/strict'
import cluster from 'node:cluster'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createServer, request } from 'node:http'

import { Cache, CompletionRouter } from 'thryd'
import { FaultServer } from 'thryd/testing'

const WORKERS = 3

if (cluster.isPrimary) await main()
else await serve(JSON.parse(process.env.SETTING))

async function serve({ provider, path }) {
  const cache = await Cache.open(path)
  const router = new CompletionRouter({ providers: [provider], cache }).deploy('default', 'faulty::ok')
  const server = createServer(async (incoming, outgoing) => {
    const answer = await router.invoke('default', { message: decodeURIComponent(incoming.url.slice(1)) })
    // Answers are written a moment after they were given.
    await cache.flush()
    outgoing.setHeader('connection', 'close')
    outgoing.end(JSON.stringify({ content: answer.content, cache: answer.cache, worker: process.pid }))
  })
  server.listen(0, '127.0.0.1', () => process.send(server.address().port))
}

async function main() {
  const upstream = await FaultServer.start()
  const path = `${import.meta.filename ?? 'cluster'}.redb`
  rmSync(path, { force: true })
  const SETTING = JSON.stringify({ provider: upstream.provider('faulty'), path })
  const workers = Array.from({ length: WORKERS }, () => cluster.fork({ SETTING }))
  const ports = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]))
  const ask = async (question) => {
    const sent = request({
      port: ports[0],
      host: '127.0.0.1',
      path: `/${encodeURIComponent(question)}`,
      agent: false,
    }).end()
    const [response] = await once(sent, 'response')
    let text = ''
    for await (const piece of response) text += piece
    return JSON.parse(text)
  }

  assert.equal((await ask('Hello')).cache, 'miss')
  const answers = await Promise.all(Array.from({ length: 30 }, () => ask('Hello')))
  assert.ok(answers.every(({ content }) => content === 'Hello'))
  assert.ok(answers.every(({ cache }) => cache !== 'miss'))
  assert.equal(upstream.requests.length, 1)

  const gone = workers.map((worker) => once(worker, 'exit'))
  if (process.env.HELD) {
    // Some hosts do not let them end otherwise, with or without thryd.
    for (const worker of workers) worker.process.kill('SIGKILL')
    await Promise.all(gone)
  } else {
    cluster.disconnect()
    for (const [code, signal] of await Promise.all(gone)) assert.deepEqual({ code, signal }, { code: 0, signal: null })
  }
  await upstream.close()
  rmSync(path)
  // It is the host that gives connections to workers.
  console.log(`works: ${new Set(answers.map(({ worker }) => worker)).size} of ${WORKERS} answered`)
}
