/** Connections that are opened ahead of the first request: docs/providers.md, over real sockets. */

import { type IncomingMessage, createServer } from 'node:http'
import { type AddressInfo, createServer as createSilent } from 'node:net'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { CompletionRouter, EmbeddingRouter } from '../js/index'
import { type Script, printed, start } from './support/script'

const KEY = 'sk-never-to-be-seen'
const ANSWER = { choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }] }

const seen: IncomingMessage[] = []
const server = createServer((request, response) => {
  seen.push(request)
  request.resume().on('end', () => {
    if (request.method === 'HEAD') response.writeHead(404).end()
    else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(ANSWER))
  })
})
let url: string

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
})
afterAll(() => {
  server.close()
  server.closeAllConnections()
})

test('one that is asked for is opened before any call, without the key, and costs no limit', async () => {
  const provider = { type: 'openai-compatible' as const, name: 'local', baseUrl: url, apiKey: KEY, warmUp: true }
  const router = new CompletionRouter({ providers: [provider] }).deploy('default', 'local::m')
  await expect.poll(() => seen.length).toBe(1)
  expect(seen[0]).toMatchObject({ method: 'HEAD', url: '/' })
  expect(JSON.stringify(seen[0]?.rawHeaders)).not.toContain(KEY)
  expect((await router.invoke('default', { message: 'Hi' })).content).toBe('Hi')
  expect(router.stats().groups['default']?.deployments[0]).toMatchObject({ succeeded: 1, failed: 0 })
  expect(seen).toHaveLength(2)
})

test('what is no boolean is refused by name', () => {
  const router = new EmbeddingRouter()
  // @ts-expect-error: it is no boolean.
  expect(() => router.addProvider({ type: 'openai', apiKey: KEY, warmUp: 'yes' })).toThrow(
    /provider options\.warmUp: expected true or false, got "yes"/,
  )
})

test('a server that is silent or not there holds no process, and breaks no call', async () => {
  const source = `
    import { createServer } from 'node:net'
    import { CompletionRouter } from 'thryd'
    const [, baseUrl] = process.argv
    const silent = createServer((socket) => socket.unref()).listen(0, '127.0.0.1').unref()
    await new Promise((resolve) => silent.once('listening', resolve))
    const gone = 'http://127.0.0.1:' + silent.address().port + '/v1'
    const type = 'openai-compatible'
    const router = new CompletionRouter({ providers: [{ type, name: 'silent', baseUrl: gone, warmUp: true }] })
    router.addProvider({ type, name: 'nowhere', baseUrl: 'https://host.invalid/v1', warmUp: true })
    router.addProvider({ type, name: 'refused', baseUrl: 'http://127.0.0.1:1/v1', warmUp: true })
    router.addProvider({ type, name: 'local', baseUrl }).deploy('default', 'local::m')
    const { content } = await router.invoke('default', { message: 'Hi' })
    console.log(JSON.stringify([content, router.stats().inFlight]))`
  expect(await printed(source, url)).toEqual(['Hi', 0])
})

test('a process that does nothing else ends at once, though nobody answers', async () => {
  let held = 0
  let script: Script | undefined
  const silent = createSilent((socket) => {
    held += 1
    socket.on('error', () => undefined)
    script?.process.stdin?.write('it is under way\n')
  })
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const source = `
    import { CompletionRouter } from 'thryd'
    const [, baseUrl] = process.argv
    new CompletionRouter().addProvider({ type: 'openai-compatible', name: 'p', baseUrl, warmUp: true })
    await new Promise((resolve) => process.stdin.once('data', resolve))
    // Now nothing keeps the process.
    process.stdin.unref()
    const last = performance.now()
    process.on('exit', () => console.log(performance.now() - last < 2000))`
  const silentUrl = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/v1`
  script = start(source, silentUrl)
  expect(await script.ended).toEqual({ code: 0, signal: null, stdout: 'true\n', stderr: '' })
  expect(held).toBe(1)
  silent.close()
})

test.runIf(process.platform === 'linux')('the thread of the sockets is begun for it alone', async () => {
  const source = `
    import { readFileSync, readdirSync } from 'node:fs'
    import { CompletionRouter } from 'thryd'
    const [, baseUrl] = process.argv
    const task = '/proc/self/task/'
    const has = () => readdirSync(task).some((each) => readFileSync(task + each + '/comm', 'utf8').trim() === 'thryd-io')
    const router = new CompletionRouter()
    const add = (warmUp) => router.addProvider({ type: 'openai-compatible', name: 'p', baseUrl, warmUp })
    const seen = [undefined, false, true].map((warmUp) => (add(warmUp), has()))
    console.log(JSON.stringify(seen))`
  expect(await printed(source, url)).toEqual([false, false, true])
})
