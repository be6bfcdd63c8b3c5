// Three child processes over one cache file: an equal question is asked of the provider once. One is killed while it writes: what the
// others wrote is there, and the file is whole.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'

import { Cache, CompletionRouter } from 'thryd'
import { FaultServer } from 'thryd/testing'

const [, file, settingJson] = process.argv

async function createRouter({ provider, path }) {
  const cache = await Cache.open(path)
  return { router: new CompletionRouter({ providers: [provider], cache }).deploy('default', 'faulty::ok'), cache }
}

if (settingJson === undefined) await main()
else await work(JSON.parse(settingJson))

async function work(setting) {
  const { router, cache } = await createRouter(setting)
  process.on('message', async ({ messages }) => {
    const answers = await Promise.all(messages.map((message) => router.invoke('default', { message })))
    // Answers are written a moment after they were given.
    await cache.flush()
    process.send(answers.map((answer) => ({ content: answer.content, cache: answer.cache })))
  })
  process.send('ready')
}

async function main() {
  const server = await FaultServer.start({ logLimit: 100_000 })
  const setting = { provider: server.provider('faulty'), path: `${file}.redb` }
  rmSync(setting.path, { force: true })
  const children = Array.from({ length: 3 }, () => fork(file, [JSON.stringify(setting)]))
  await Promise.all(children.map((child) => once(child, 'message')))
  const ask = async (child, ...messages) => {
    child.send({ messages })
    return (await once(child, 'message'))[0]
  }

  assert.deepEqual(await ask(children[0], 'Hello'), [{ content: 'Hello', cache: 'miss' }])
  assert.deepEqual(await ask(children[1], 'Hello'), [{ content: 'Hello', cache: 'disk' }])
  assert.deepEqual(await ask(children[2], 'Hello'), [{ content: 'Hello', cache: 'disk' }])
  assert.equal(server.requests.length, 1)

  const questions = (name) => Array.from({ length: 300 }, (_, number) => `${name} ${number}`)
  // Whatever came of it: it is killed as soon as some of its requests are under way.
  ask(children[2], ...questions('killed')).catch(() => {})
  const both = [ask(children[0], ...questions('first')), ask(children[1], ...questions('second'))]
  await server.waitFor(() => server.requests.filter(({ body }) => /killed/.test(JSON.stringify(body))).length > 50)
  children[2].kill('SIGKILL')
  await Promise.all(both)
  const gone = children.slice(0, 2).map((child) => once(child, 'exit'))
  children[0].disconnect()
  children[1].disconnect()
  assert.deepEqual(await Promise.all(gone), [
    [0, null],
    [0, null],
  ])

  const before = server.requests.length
  const { router, cache } = await createRouter(setting)
  for (const name of ['first', 'second']) {
    const answers = await Promise.all(questions(name).map((message) => router.invoke('default', { message })))
    assert.ok(answers.every((answer) => answer.cache === 'disk'))
  }
  assert.equal(server.requests.length, before)
  await Promise.all(questions('killed').map((message) => router.invoke('default', { message })))
  await cache.flush()
  const { entries, readErrors, writeErrors } = cache.stats()
  assert.deepEqual({ entries, readErrors, writeErrors }, { entries: 901, readErrors: 0, writeErrors: 0 })
  await router.close()
  await cache.close()
  await server.close()
  rmSync(setting.path)
  console.log('works')
}
