import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { Cache, CacheError, type CacheOptions, type CacheProgress, CompletionRouter, EmbeddingRouter } from '..'
import { caught } from './support/caught'
import { Files } from './support/files'
import { TestServer, chat, send } from './support/server'

let server: TestServer
const files = new Files('control')

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

/** A router with one deployment of the server. */
function routed(cache: CacheOptions | Cache, options = {}): CompletionRouter {
  const router = new CompletionRouter({ cache, retry: { maxRetries: 0 } })
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url, apiKey: 'sk-never-shown' })
  return router.deploy('default', 'local::m', options)
}

const message = (text: string, more = {}) => ({ message: text.repeat(100), ...more })

describe('replay', () => {
  test('never sends, and the error for a miss names the fields that are not as they were recorded', async () => {
    const path = files.fresh()
    const recording = routed({ path })
    await recording.invoke('default', message('What is it? ', { temperature: 0.7, seed: 7 }))
    await recording.invoke('default', message('Who is it? '))
    await recording.close()
    server.reset()
    const replaying = routed({ path, mode: 'replay' })
    const hit = await replaying.invoke('default', message('Who is it? '))
    expect(hit.cache).toMatch(/memory|disk/)
    const error = await caught(replaying.invoke('default', message('What is it? ', { temperature: 0.8 })))
    expect(error).toMatchObject({ code: 'ERR_NOT_CACHED', retryable: false, attempts: [] })
    expect(error.message).toBe(
      `group "default": this request is not in the cache (${path}). The nearest of 2 stored differs in: ` +
        'temperature: 0.7 is stored, 0.8 was asked; seed: 7 is stored, asked without it',
    )
    const other = await caught(replaying.invoke('default', message('Why is it? ')))
    expect(other.message).toMatch(/messages\[0\]\.content: "Who is it\? .*…" \(1,100 bytes\) is stored, "Why is/)
    expect(other.message).not.toContain('sk-never-shown')
    const streamed = replaying.stream('default', message('Why is it? '))
    expect((await caught(streamed.completion())).message).toBe(other.message)
    expect(server.seen).toHaveLength(0)
    await replaying.close()
  })
})

describe('the words of fetch', () => {
  test('read, renew, leave no trace and never send', async () => {
    let number = 0
    server.answer = (_seen, response) => send(response, chat(`answer ${(number += 1)}`))
    const router = routed({})
    const ask = async (cache: 'default' | 'reload' | 'no-store' | 'only-if-cached') => {
      const answer = await router.invoke('default', { message: 'Hi' }, { cache })
      return [answer.content, answer.cache]
    }
    const missing = await caught(ask('only-if-cached'))
    expect(missing).toMatchObject({ code: 'ERR_NOT_CACHED' })
    expect(missing.message).toBe('group "default": this request is not in the cache')
    expect(await ask('no-store')).toEqual(['answer 1', 'off'])
    expect(await ask('default')).toEqual(['answer 2', 'miss'])
    expect(await ask('default')).toEqual(['answer 2', 'memory'])
    expect(await ask('reload')).toEqual(['answer 3', 'miss'])
    expect(await ask('only-if-cached')).toEqual(['answer 3', 'memory'])
    expect(await ask('no-store')).toEqual(['answer 4', 'off'])
    expect(await ask('default')).toEqual(['answer 3', 'memory'])
  })
})

describe('names and namespaces', () => {
  test('one model under two names is asked once if both stand as one, and twice if not', async () => {
    const cache = await Cache.open({})
    const models = { 'local::m': 'gpt', 'local::other': 'gpt', 'local::third': undefined }
    const seen = []
    for (const [model, cacheAs] of Object.entries(models)) {
      const router = new CompletionRouter({ cache })
      router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
      router.deploy('default', model, cacheAs === undefined ? {} : { cacheAs })
      seen.push((await router.invoke('default', { message: 'Hi' })).cache)
    }
    expect(seen).toEqual(['miss', 'memory', 'miss'])
    const router = routed({})
    for (const wrong of ['', 7]) {
      expect(() => router.deploy('default', 'local::m', { cacheAs: wrong as string })).toThrow(
        /^deploy options\.cacheAs: expected a/,
      )
    }
  })

  test('a namespace sees its own answers, and is cleared and exported alone', async () => {
    const router = routed({})
    const ask = async (namespace: string) => (await router.invoke('default', { message: 'Hi' }, { namespace })).cache
    expect([await ask('a'), await ask('b'), await ask('a'), await ask('')]).toEqual(['miss', 'miss', 'memory', 'miss'])
    const path = join(files.folder, 'a.jsonl')
    expect(await router.cache?.export(path, { namespace: 'a' })).toBe(1)
    expect(await router.cache?.export(path)).toBe(3)
    await router.cache?.clear({ namespace: 'a' })
    expect([await ask('b'), await ask('a')]).toEqual(['memory', 'miss'])
  })

  test('a time to live of its own is over before the cache’s', async () => {
    const router = routed({})
    const ask = async (cacheTtlMs: number) => (await router.invoke('default', { message: 'Hi' }, { cacheTtlMs })).cache
    expect(await ask(1)).toBe('miss')
    await expect.poll(() => router.cache?.prune()).toBe(1)
    expect([await ask(60_000), await ask(60_000)]).toEqual(['miss', 'memory'])
    expect(router.cache?.stats()).toMatchObject({ hits: 1, memoryHits: 1, diskHits: 0, misses: 2, joined: 0 })
  })
})

describe('export and import', () => {
  test('carry answers and vectors to another cache, with progress', async () => {
    const source = await Cache.open(files.fresh())
    const router = routed(source)
    for (const name of ['one', 'two', 'three']) await router.invoke('default', { message: name })
    const embedder = new EmbeddingRouter({ cache: source, providers: [{ type: 'dummy', dummy: { cache: true } }] })
    const { vectors } = await embedder.deploy('default', 'dummy::e').invoke('default', { input: ['red', 'blue'] })
    const path = join(files.folder, 'fixtures.jsonl')
    const told: CacheProgress[] = []
    expect(await source.export(path, { onProgress: (progress) => told.push(progress) })).toBe(5)
    expect(told.at(0)).toEqual({ done: 0, total: 5 })
    expect(told.at(-1)).toEqual({ done: 5, total: 5 })
    const [header, ...lines] = readFileSync(path, 'utf8').trimEnd().split('\n')
    expect(JSON.parse(header ?? '')).toEqual({ thryd: 'export', version: 1, keys: 1 })
    const questions = lines.map((line) => JSON.parse(line).question)
    expect(questions.slice(0, 3).map(({ request }) => request.messages[0].content)).toEqual(['one', 'three', 'two'])
    expect(questions[3]).toEqual({ kind: 'embedding', models: ['dummy::e'], request: { input: ['blue'] } })

    const target = await Cache.open({ path: files.fresh(), mode: 'replay' })
    expect(await target.import(path)).toEqual({ imported: 5, expired: 0 })
    server.reset()
    expect((await routed(target).invoke('default', { message: 'two' })).content).toBe('two')
    const again = new EmbeddingRouter({ cache: target, providers: [{ type: 'dummy' }] }).deploy('default', 'dummy::e')
    const replayed = await again.invoke('default', { input: ['blue', 'red'] })
    expect([replayed.vectors[0], replayed.vectors[1]]).toEqual([vectors[1], vectors[0]])
    expect(server.seen).toHaveLength(0)
    await target.close()
  })

  test('name what is wrong, with the frames of whoever called', async () => {
    const cache = await Cache.open({})
    const path = join(files.folder, 'wrong.jsonl')
    writeFileSync(path, '{"thryd":"export","version":1,"keys":1}\n{"key":7}\n')
    const error = await caught(cache.import(path))
    expect(error).toBeInstanceOf(CacheError)
    expect(error.message).toBe(`cache ${path}: line 2: key: expected 64 hexadecimal digits, got 7`)
    expect(error.stack).toContain('control.test.ts')
    writeFileSync(path, 'my notes')
    expect(await caught(cache.export(path))).toMatchObject({ code: 'ERR_CACHE' })
    expect(readFileSync(path, 'utf8')).toBe('my notes')
    for (const call of [cache.export(''), cache.import('')]) {
      expect(await caught(call)).toEqual(new TypeError('path: expected the path of a file, got ""'))
    }
  })

  test('end with what a callback throws, and leave no file behind', async () => {
    const cache = await Cache.open({})
    const router = routed(cache)
    for (let number = 0; number < 300; number += 1) await router.invoke('default', { message: `${number}` })
    const fault = new Error('enough')
    const path = join(files.folder, 'left.jsonl')
    const onProgress = (): void => {
      throw fault
    }
    expect(await caught(cache.export(path, { onProgress }))).toBe(fault)
    // The step that was under way may end first.
    await expect.poll(() => readdirSync(files.folder).filter((name) => name.startsWith('left.jsonl.'))).toEqual([])
    expect(await cache.export(path)).toBe(300)
    expect(await caught(cache.import(path, { onProgress }))).toBe(fault)
    expect(cache.stats().entries).toBe(300)
  })
})
