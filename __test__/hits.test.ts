import { inspect } from 'node:util'

import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { type Completion, CompletionRouter } from '..'
import { type Answer, TestServer, chat, send, status } from './support/server'

let server: TestServer

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

function routed(cache: object = {}): CompletionRouter {
  const router = new CompletionRouter({ cache, retry: { maxRetries: 0 } })
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
  return router.deploy('default', 'local::m', { price: { prompt: 1, completion: 2 } })
}

const request = { messages: [{ role: 'user', content: 'Hi "there" \n \u{1f600}' }], temperature: 0.7, seed: 7 }

/** What it shows of itself, but for how it came about. */
function shown(answer: Completion): unknown {
  const { cache: _cache, attempts: _attempts, latencyMs: _latency, queuePosition: _place, usage, ...rest } = answer
  return { ...rest, usage: { ...usage, cost: 0 }, raw: answer.raw, keys: Object.keys(answer), text: `${answer}` }
}

const choices = (message: object, more: object = {}): object => ({
  choices: [{ index: 0, message: { role: 'assistant', ...message }, finish_reason: 'stop', ...more }],
})
const calls = [{ id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"a": "b"}' } }]

describe('a hit', () => {
  test.each<[string, Answer]>([
    ['text', status(200, chat('Hello'))],
    ['text with escapes', status(200, chat('"Hello",\n\tsaid \\ she\u0001'))],
    ['text of every alphabet', status(200, chat('Grüße, 世界 \u{1f600}', { note: 'Ünï \u{1f600}' }))],
    ['no text', status(200, chat(''))],
    ['no content', status(200, chat('', choices({ content: null })))],
    [
      'parts',
      status(
        200,
        chat(
          '',
          choices({
            content: [
              { type: 'text', text: 'a' },
              { type: 'text', text: 'b' },
            ],
          }),
        ),
      ),
    ],
    ['half a character', status(200, chat('a\ud83d b'))],
    [
      'calls',
      status(200, chat('', choices({ content: 'calling', tool_calls: calls }, { finish_reason: 'tool_calls' }))),
    ],
    ['much more than text', status(200, chat('short', { much: 'x'.repeat(5000) }))],
    ['two choices', status(200, chat('', { choices: [1, 0].map((index) => choicesOf(index)) }))],
    [
      'all that usage can have',
      status(
        200,
        chat('Hello', {
          usage: {
            prompt_tokens: 9,
            completion_tokens: 8,
            total_tokens: 17,
            prompt_tokens_details: { cached_tokens: 4 },
            completion_tokens_details: { reasoning_tokens: 3 },
          },
        }),
      ),
    ],
  ])('on %s shows what the answer showed, however often it is asked for', async (_what, given) => {
    server.answer = given
    const router = routed()
    const first = await router.invoke('default', request)
    expect(first).toMatchObject({ cache: 'miss', attempts: [{ outcome: 'ok' }] })
    for (let asked = 0; asked < 4; asked += 1) {
      const answer = await router.invoke('default', structuredClone(request))
      expect(answer).toMatchObject({ cache: 'memory', attempts: [], queuedMs: 0, queuePosition: 0 })
      expect(answer.usage).toEqual({ ...first.usage, cost: 0 })
      expect(answer.latencyMs).toBeGreaterThanOrEqual(0)
      expect(shown(answer)).toEqual(shown(first))
      expect({ ...answer, raw: answer.raw }).toEqual({ ...structuredClone({ ...answer }), raw: first.raw })
      expect(inspect(answer)).toMatch(/^Completion \{\n {2}content: /)
      expect(Object.keys(JSON.parse(JSON.stringify(answer)) as object)).toEqual(Object.keys(first))
      expect(answer.raw).toBe(answer.raw)
    }
    expect(server.seen).toHaveLength(1)
  })

  test('gives each caller an answer of his own', async () => {
    server.answer = status(200, chat('Hello'))
    const router = routed()
    for (let asked = 0; asked < 4; asked += 1) {
      const answer = await router.invoke('default', request)
      expect(answer).toMatchObject({
        content: 'Hello',
        toolCalls: [],
        attempts: asked ? [] : [{}],
        raw: { created: 1 },
      })
      answer.content = 'mine'
      answer.toolCalls.push({ id: '', name: '', arguments: '' })
      answer.attempts.push({ deployment: '', startedMs: 0, durationMs: 0, outcome: 'ok' })
      answer.usage.totalTokens = -1
      Object.assign(answer.raw as object, { created: 'mine' })
    }
  })

  test('keeps to its group, its tenant, and what the call may do with the cache', async () => {
    let asked = 0
    server.answer = (_seen, response) => send(response, chat(`answer ${(asked += 1)}`))
    const router = routed().deploy('other', 'local::other')
    const ask = async (group: string, options?: object): Promise<string> => {
      const { content, cache } = await router.invoke(group, request, options)
      return `${content} ${cache}`
    }
    for (let time = 0; time < 3; time += 1) await ask('default')
    expect(await ask('default')).toBe('answer 1 memory')
    expect(await ask('other')).toBe('answer 2 miss')
    expect(await ask('default', { namespace: 'tenant' })).toBe('answer 3 miss')
    expect(await ask('default', { cache: 'no-store' })).toBe('answer 4 off')
    expect(await ask('default', { cache: 'reload' })).toBe('answer 5 miss')
    expect(await ask('default', { signal: new AbortController().signal })).toBe('answer 5 memory')
    expect(await ask('default', { cache: 'only-if-cached' })).toBe('answer 5 memory')
    router.undeploy('default', 'local::m')
    router.deploy('default', 'local::m2')
    expect(await ask('default')).toBe('answer 6 miss')
    expect(await ask('default')).toBe('answer 6 memory')
    await router.cache?.clear()
    expect(await ask('default')).toBe('answer 7 miss')
    router.removeGroup('default')
    await expect(ask('default')).rejects.toMatchObject({ code: 'ERR_NO_GROUP' })
    await router.close()
    await expect(ask('other')).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  })

  test('is counted, also in a batch', async () => {
    const router = routed()
    const requests = Array.from({ length: 50 }, (_, index) => ({ message: `Question ${index % 5}` }))
    for (let time = 0; time < 3; time += 1) {
      const contents = []
      for await (const answer of router.invokeMany('default', requests, { concurrency: 1 })) contents.push(`${answer}`)
      expect(contents).toEqual(requests.map(({ message }) => message))
    }
    expect(router.stats().cache).toMatchObject({ hits: 145, memoryHits: 145, misses: 5 })
  })

  test('ends when its time is up', async () => {
    const router = routed({ ttlMs: 150 })
    for (let time = 0; time < 3; time += 1) await router.invoke('default', request)
    await expect.poll(async () => (await router.invoke('default', request)).cache).toBe('miss')
  })

  test('comes from as many models as there are', async () => {
    server.answer = (seen, response) => send(response, chat('Hello', { model: seen.json['model'] }))
    const router = routed()
    for (let number = 0; number < 100; number += 1) router.deploy(`group ${number}`, `local::model ${number}`)
    for (let time = 0; time < 3; time += 1) {
      for (let number = 0; number < 100; number += 1) {
        const answer = await router.invoke(`group ${number}`, request)
        expect(answer).toMatchObject({
          model: `model ${number}`,
          deployment: `local::model ${number}`,
          finishReason: 'stop',
        })
      }
    }
    expect(server.seen).toHaveLength(100)
  })
})

/** A choice of this place. */
function choicesOf(index: number): object {
  return { index, message: { role: 'assistant', content: `choice ${index}` }, finish_reason: 'stop' }
}

test('what is sent is what JSON makes of the request, to the letter', async () => {
  const router = routed()
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(
        fc.string({ unit: 'binary' }).map((name) => `x_${name}`),
        fc.jsonValue(),
      ),
      async (more) => {
        server.seen.length = 0
        const body = { messages: [{ role: 'user', content: `${Math.random()}` }], ...more }
        const kept = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))
        await router.invoke('default', body, { cache: 'no-store' })
        expect(server.seen[0]?.text).toBe(`{"model":"m",${JSON.stringify(kept).slice(1)}`)
      },
    ),
    { numRuns: 60 },
  )
})
