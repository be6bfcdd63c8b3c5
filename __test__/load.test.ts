import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { type Completion, CompletionRouter, type CompletionRequest } from '..'
import { TestServer, chat, question, send } from './support/server'

const COUNT = 10_000
const IN_FLIGHT = 64

let server: TestServer
let most = 0

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => {
  server.reset()
  let open = 0
  most = 0
  server.answer = (seen, response) => {
    open += 1
    most = Math.max(most, open)
    const text = question(seen)
    const id = Number(text.slice('question '.length))
    const body = chat(`answer to ${text}`, {
      usage: { prompt_tokens: id, completion_tokens: 2, total_tokens: id + 2 },
    })
    // Later ones overtake earlier ones.
    const rounds = id % 3
    const answer = (left: number): void => {
      if (left > 0) {
        setImmediate(answer, left - 1)
        return
      }
      open -= 1
      send(response, body)
    }
    answer(rounds)
  }
})
afterAll(() => server.close())

function routed(): CompletionRouter {
  const router = new CompletionRouter()
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
  for (const model of ['a', 'b', 'c']) router.deploy('default', `local::${model}`)
  return router
}

const request = (index: number): CompletionRequest => ({ message: `question ${index}` })

/** What the server said to this question; `expect` would take longer than the calls. */
function isAnswer(answer: Completion | Error, index: number): boolean {
  return `${answer}` === `answer to question ${index}` && (answer as Completion).usage.promptTokens === index
}

function expectSums(router: CompletionRouter): void {
  const stats = router.stats()
  const deployments = stats.groups['default']?.deployments ?? []
  const sum = (of: (one: (typeof deployments)[number]) => number) => deployments.reduce((all, one) => all + of(one), 0)
  const prompt = (COUNT * (COUNT - 1)) / 2
  expect(stats).toMatchObject({ inFlight: 0, waiting: 0 })
  expect(sum((one) => one.succeeded)).toBe(COUNT)
  expect(sum((one) => one.failed)).toBe(0)
  expect(sum((one) => one.inFlight)).toBe(0)
  expect(sum((one) => one.promptTokens)).toBe(prompt)
  expect(sum((one) => one.completionTokens)).toBe(2 * COUNT)
  expect(sum((one) => one.window.requests)).toBe(COUNT)
  expect(sum((one) => one.window.tokens)).toBe(prompt + 2 * COUNT)
  for (const one of deployments) expect(one.succeeded).toBeGreaterThan(COUNT / 10)
  expect(server.seen).toHaveLength(COUNT)
}

describe(`${COUNT} requests with ${IN_FLIGHT} in flight`, () => {
  test('get their own answers, through invokeMany', { timeout: 60_000 }, async () => {
    const router = routed()
    let last = 0
    const progress = { done: 0, failed: 0, tokens: 0, total: 0 as number | undefined }
    let index = 0
    const wrong: unknown[] = []
    const requests = Array.from({ length: COUNT }, (_, each) => request(each))
    const onProgress = (now: { done: number; failed: number; tokens: number; total?: number }): void => {
      expect(now.done).toBe(last + 1)
      last = now.done
      Object.assign(progress, now)
    }
    for await (const answer of router.invokeMany('default', requests, { concurrency: IN_FLIGHT, onProgress })) {
      if (!isAnswer(answer, index)) wrong.push([index, answer])
      index += 1
    }
    expect(wrong).toEqual([])
    expect(index).toBe(COUNT)
    expect(most).toBeLessThanOrEqual(IN_FLIGHT)
    expect(most).toBeGreaterThan(1)
    expect(progress).toMatchObject({ done: COUNT, failed: 0, total: COUNT })
    expect(progress.tokens).toBe((COUNT * (COUNT - 1)) / 2 + 2 * COUNT)
    expect(server.connections).toBeLessThanOrEqual(2 * IN_FLIGHT)
    expectSums(router)
  })

  test('get their own answers, through a pool of the caller’s', { timeout: 60_000 }, async () => {
    const router = routed()
    let next = 0
    const wrong: unknown[] = []
    const worker = async (): Promise<void> => {
      while (next < COUNT) {
        const index = next
        next += 1
        const answer = await router.invoke('default', request(index))
        if (!isAnswer(answer, index)) wrong.push([index, answer])
      }
    }
    await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
    expect(next).toBe(COUNT)
    expectSums(router)
  })
})
