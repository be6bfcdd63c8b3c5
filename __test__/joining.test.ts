import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { EmbeddingRouter } from '..'
import { caught, collected } from './support/caught'
import { type Answer, TestServer, beginEvents, chat, event, piece, send, status } from './support/server'
import { streamingFrom, text } from './support/streams'

let server: TestServer

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

const routed = (deployments?: string[], cache?: object) => streamingFrom(server, deployments, cache)

/** A gate that holds an answer back. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { opened, open }
}

/** Streams one word, waits for the gate, streams the rest. */
const inTwo =
  (opened: Promise<void>): Answer =>
  async (_seen, response) => {
    beginEvents(response)
    await event(response, piece({ content: 'one ' }))
    await opened
    for (const delta of ['two ', 'three']) await event(response, piece({ content: delta }))
    await event(response, piece({}, 'stop'))
    response.end('data: [DONE]\n\n')
  }

describe('equal streams under way', () => {
  test('are one request: a late reader gets what has come, then the live tail', async () => {
    const { opened, open } = gate()
    server.answer = inTwo(opened)
    const router = routed()
    const ask = () => router.stream('default', { message: 'hi' })
    const early = ask()[Symbol.asyncIterator]()
    expect(await early.next()).toEqual({ done: false, value: { type: 'content', delta: 'one ' } })
    const late = ask()
    const reading = late[Symbol.asyncIterator]()
    expect((await reading.next()).value).toEqual({ type: 'content', delta: 'one ' })
    open()
    const rest = []
    for (let next = await reading.next(); !next.done; next = await reading.next()) rest.push(next.value)
    expect(text(rest)).toBe('two three')
    expect(await late.completion()).toMatchObject({ content: 'one two three', cache: 'joined' })
    expect((await early.next()).value).toEqual({ type: 'content', delta: 'two ' })
    expect(server.seen).toHaveLength(1)
  })

  test('200 at once, one aborted, are one request and 199 answers', async () => {
    const { opened, open } = gate()
    server.answer = inTwo(opened)
    const router = routed()
    const abort = new AbortController()
    const asked = Array.from({ length: 200 }, (_, index) => {
      const options = index === 0 ? { signal: abort.signal } : {}
      return collected(router.stream('default', { message: 'hi' }, options)).then(text, (error: unknown) => error)
    })
    await server.received()
    abort.abort(new Error('had enough'))
    open()
    const [aborted, ...answers] = await Promise.all(asked)
    expect(aborted).toEqual(new Error('had enough'))
    expect(answers).toEqual(Array.from({ length: 199 }, () => 'one two three'))
    expect(server.seen).toHaveLength(1)
    expect(router.stats()).toMatchObject({ inFlight: 0, waiting: 0 })
  })

  test('keep their request until the last reader leaves, and then close its socket', async () => {
    const { opened } = gate()
    server.answer = inTwo(opened)
    const router = routed()
    const readers = [0, 1].map(() => router.stream('default', { message: 'hi' })[Symbol.asyncIterator]())
    await Promise.all(readers.map((reader) => reader.next()))
    let isClosed = false
    void server.last.closed.then(() => (isClosed = true))
    await readers[0]?.return?.()
    // Something else is answered meanwhile, so the one that is left was not cancelled unnoticed.
    server.answer = (_seen, response) => send(response, chat('other'))
    await router.invoke('default', { message: 'other' })
    expect(isClosed).toBe(false)
    await readers[1]?.return?.()
    await server.seen[0]?.closed
    expect(router.stats().inFlight).toBe(0)
  })

  test('that break end for who wants no restart and go on for the others', async () => {
    const { opened, open } = gate()
    server.answer = async (seen, response) => {
      if (seen.json['model'] === 'b') return send(response, chat('the whole answer'))
      beginEvents(response)
      await event(response, piece({ content: 'half an ' }))
      await opened
      response.destroy()
    }
    const router = routed(['local::a', 'local::b'])
    const ask = (options = {}) => router.stream('default', { message: 'hi' }, options)
    const strict = ask()[Symbol.asyncIterator]()
    const patient = collected(ask({ onInterrupt: 'restart' }))
    const buffered = collected(ask({ buffer: true }))
    const whole = router.invoke('default', { message: 'hi' })
    await strict.next()
    open()
    const error = await caught(strict.next())
    expect(error).toMatchObject({
      code: 'ERR_INTERRUPTED',
      delivered: 'half an ',
      attempts: [{ outcome: 'truncated' }],
    })
    const chunks = await patient
    const restart = chunks.findIndex((chunk) => chunk.type === 'restart')
    expect(chunks[restart]).toEqual({ type: 'restart', discarded: 'half an ', deployment: 'local::b' })
    expect(text(chunks.slice(restart))).toBe('the whole answer')
    expect(text(await buffered)).toBe('the whole answer')
    expect(await whole).toMatchObject({ content: 'the whole answer', cache: 'joined' })
    expect(server.seen.map((seen) => seen.json['model'])).toEqual(['a', 'b'])
  })
})

describe('equal calls under way', () => {
  test('200 at once, one aborted, are one request and 199 answers', async () => {
    const { opened, open } = gate()
    server.answer = async (_seen, response) => {
      await opened
      send(response, chat('the answer'))
    }
    const router = routed()
    const abort = new AbortController()
    const asked = Array.from({ length: 200 }, (_, index) => {
      const options = index === 0 ? { signal: abort.signal } : {}
      return router.invoke('default', { message: 'hi' }, options).catch((error: unknown) => error)
    })
    await server.received()
    abort.abort(new Error('had enough'))
    open()
    const [aborted, ...answers] = await Promise.all(asked)
    expect(aborted).toEqual(new Error('had enough'))
    expect(answers).toHaveLength(199)
    for (const answer of answers) expect(answer).toMatchObject({ content: 'the answer' })
    expect(server.seen).toHaveLength(1)
  })

  test('outlive the deadline of the one who was first', async () => {
    const { opened, open } = gate()
    server.answer = async (_seen, response) => {
      await opened
      send(response, chat('late'))
    }
    const router = routed()
    const hasty = caught(router.invoke('default', { message: 'hi' }, { totalMs: 60 }))
    const patient = router.invoke('default', { message: 'hi' })
    expect(await hasty).toMatchObject({ code: 'ERR_TIMEOUT', phase: 'total' })
    open()
    expect((await patient).content).toBe('late')
    expect(server.seen).toHaveLength(1)
  })

  test('that fail for everybody fail once', async () => {
    server.answer = status(400, { error: { message: 'no' } })
    const router = routed()
    const errors = await Promise.all(
      Array.from({ length: 50 }, () => caught(router.invoke('default', { message: 'hi' }))),
    )
    for (const error of errors) expect(error).toMatchObject({ code: 'ERR_PROVIDER', status: 400 })
    expect(server.seen).toHaveLength(1)
  })
})

describe('embeddings under way', () => {
  const inputs = () => server.seen.map((seen) => seen.json['input'])

  test('share the texts that they have in common, and each call its own order', async () => {
    const { opened, open } = gate()
    server.answer = async (seen, response) => {
      await opened
      const data = (seen.json['input'] as string[]).map((input, index) => ({ index, embedding: [input.length, 1] }))
      send(response, { data, model: 'e', usage: { prompt_tokens: data.length, total_tokens: data.length } })
    }
    const router = new EmbeddingRouter()
    router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
    router.deploy('default', 'local::e', { price: { prompt: 1, completion: 0 } })
    const first = router.invoke('default', { input: ['a', 'bb', 'ccc'] })
    await server.received()
    const second = router.invoke('default', { input: ['dddd', 'bb', 'a', 'dddd'] })
    await server.received(2)
    open()
    const [one, other] = await Promise.all([first, second])
    expect(inputs()).toEqual([['a', 'bb', 'ccc'], ['dddd']])
    expect(one.vectors.map((vector) => vector[0])).toEqual([1, 2, 3])
    expect(other.vectors.map((vector) => vector[0])).toEqual([4, 2, 1, 4])
    // What was joined was paid for by the other call, and what stands twice is paid for once.
    expect([one.usage.cost, other.usage.cost]).toEqual([3e-6, 1e-6])
  })

  test('of a call that leaves go on for whoever shares them', async () => {
    const { opened, open } = gate()
    server.answer = async (seen, response) => {
      await opened
      const data = (seen.json['input'] as string[]).map((input, index) => ({ index, embedding: [input.length] }))
      send(response, { data, model: 'e' })
    }
    const router = new EmbeddingRouter()
    router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
    router.deploy('default', 'local::e')
    const abort = new AbortController()
    const leaving = caught(router.invoke('default', { input: ['a', 'bb'] }, { signal: abort.signal }))
    await server.received()
    const staying = router.invoke('default', { input: ['bb', 'bb'] })
    // Both are under way before the first one leaves.
    while (router.stats().inFlight < 2) await new Promise(setImmediate)
    abort.abort()
    expect(await leaving).toMatchObject({ name: 'AbortError' })
    open()
    expect((await staying).vectors).toEqual([new Float32Array([2]), new Float32Array([2])])
    expect(inputs()).toEqual([['a', 'bb']])
  })
})
