import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { busy, lost, served } from '../support/busy'
import { Files } from '../support/files'
import { printed } from '../support/script'
import { TestServer } from '../support/server'

const root = join(import.meta.dirname, '../..')
let server: TestServer
const files = new Files('children')

beforeAll(async () => {
  server = await TestServer.start(served)
})
afterAll(() => server.close())

/** A file with the code of a child: what a `fork` needs. */
function file(code: string): string {
  const path = files.fresh('cjs')
  const prelude = `
    const thryd = require(${JSON.stringify(root)})
    const [, , baseUrl, path, name] = process.argv
    const routerOf = () => new thryd.CompletionRouter({ cache: path, providers: [
      { type: 'openai-compatible', name: 'local', baseUrl },
    ] }).deploy('default', 'local::m')
    ${busy}`
  writeFileSync(path, prelude + code)
  return path
}

const main = `
  import cluster from 'node:cluster'
  import { fork } from 'node:child_process'
  import { once } from 'node:events'
  import { CompletionRouter } from 'thryd'
  const [, baseUrl, path, code] = process.argv
  const router = new CompletionRouter({ cache: path, providers: [
    { type: 'openai-compatible', name: 'local', baseUrl },
  ] }).deploy('default', 'local::m')
  const print = (value) => console.log(JSON.stringify(value))
  const ended = (child) => new Promise((resolve) => child.once('exit', (exit, signal) => resolve(signal ?? exit)))
  const said = async (child) => {
    const [what] = await Promise.race([once(child, 'message'), ended(child).then((end) => { throw new Error('ended: ' + end) })])
    return what
  }
  // So that the children come upon a runtime, sockets and an open file of their parent, of which they have nothing.
  await router.invoke('default', { message: 'of the parent' })`

describe('children on one file', () => {
  test('are forked, and one that is killed in the middle of everything hurts nobody', async () => {
    const path = files.fresh()
    const child = file(`
      const { answered, enough, router } = busy(thryd, baseUrl, path, name)
      enough.then(async () => {
        const known = [...answered]
        await router.cache.flush()
        process.send(known)
      })
      process.on('disconnect', () => process.exit(3))`)
    const source = `${main}
      const children = ['a', 'b', 'c'].map((name) => fork(code, [baseUrl, path, name]))
      const ends = children.map(ended)
      const answered = await Promise.all(children.map(said))
      children[0].kill('SIGKILL')
      children[1].disconnect()
      children[2].kill()
      const own = await router.invoke('default', { message: 'meanwhile' })
      await router.cache.flush()
      print({ ends: await Promise.all(ends), answered: [...answered.flat(), own.content, 'of the parent'] })`
    const { ends, answered } = (await printed(source, server.url, path, child)) as {
      ends: unknown
      answered: string[]
    }
    expect(ends).toEqual(['SIGKILL', 3, 'SIGTERM'])
    expect(await lost(path, answered)).toEqual([])
  })

  // On Windows they are not told, but ended.
  test.skipIf(process.platform === 'win32')(
    'of a cluster answer from what the others were answered, and end when they are told to',
    async () => {
      const worker = file(`
      const router = routerOf()
      const server = require('node:http').createServer(async (request, response) => {
        const answer = await router.invoke('default', { message: request.url.slice(1) })
        await router.cache.flush()
        response.end(JSON.stringify([answer.content, answer.cache !== 'miss', process.pid]))
      })
      server.listen(0, '127.0.0.1', () => process.send(server.address().port))
      process.once('SIGTERM', async () => {
        await router.close()
        process.disconnect()
        server.close()
        server.closeAllConnections()
      })`)
      const source = `${main}
      cluster.setupPrimary({ exec: code, args: [baseUrl, path], execArgv: [] })
      const workers = [cluster.fork(), cluster.fork()]
      const ends = workers.map(({ process }) => ended(process))
      const [port] = await Promise.all(workers.map(said))
      const ask = async (question) => {
        const response = await fetch('http://127.0.0.1:' + port + '/' + question, { headers: { connection: 'close' } })
        return await response.json()
      }
      const answers = []
      for (let call = 0; call < 6; call += 1) answers.push(await ask(call < 3 ? 'one' : 'two'))
      for (const { process } of workers) process.kill('SIGTERM')
      print({
        answers: answers.map(([content, isKept]) => [content, isKept]),
        workers: new Set(answers.map(([, , pid]) => pid)).size,
        ends: await Promise.all(ends),
      })`
      expect(await printed(source, server.url, files.fresh(), worker)).toEqual({
        answers: [
          ['one', false],
          ['one', true],
          ['one', true],
          ['two', false],
          ['two', true],
          ['two', true],
        ],
        workers: 2,
        ends: [0, 0],
      })
    },
  )
})
