import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { type Completion, CompletionRouter, RateLimitError } from '..'
import { caught } from './support/caught'
import { TestServer, echo, question } from './support/server'

let server: TestServer
let held: Map<string, () => unknown>

// One for each test, which answers to `hold …` only when it is let.
beforeEach(async () => {
  held = new Map()
  server = await TestServer.start((seen, response) => {
    const text = question(seen)
    if (text.startsWith('hold')) held.set(text, () => echo(seen, response))
    else void echo(seen, response)
  })
})
afterEach(() => server.close())

/** A router whose deployments have one slot each, all of them taken. */
async function taken(...models: string[]): Promise<{ router: CompletionRouter; holding: Promise<Completion>[] }> {
  const router = new CompletionRouter({ retry: { maxRetries: 0 } })
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
  for (const model of models) router.deploy('g', `local::${model}`, { maxConcurrent: 1 })
  const holding = models.map((model) => router.invoke('g', { message: `hold ${model}` }))
  await server.received(models.length)
  return { router, holding }
}

/** These calls, each in line before the next comes. */
async function queued(router: CompletionRouter, count: number): Promise<Promise<Completion>[]> {
  const calls = []
  for (let index = 0; index < count; index += 1) {
    calls.push(router.invoke('g', { message: `${index}` }))
    while (router.stats().waiting !== index + 1) await new Promise((resolve) => setImmediate(resolve))
  }
  return calls
}

function release(): void {
  for (const answer of held.values()) answer()
}

describe('a deployment that is removed while calls wait', () => {
  test('leaves them to the others, in their order', async () => {
    const { router, holding } = await taken('a', 'b')
    const calls = await queued(router, 5)
    expect(router.undeploy('g', 'local::a')).toBe(true)
    expect(router.stats().waiting).toBe(5)
    release()
    const answers = await Promise.all(calls)
    expect(answers.map(({ deployment }) => deployment)).toEqual(Array.from({ length: 5 }, () => 'local::b'))
    expect(answers.map(({ queuePosition }) => queuePosition)).toEqual([1, 2, 3, 4, 5])
    expect(server.seen.slice(2).map(question)).toEqual(['0', '1', '2', '3', '4'])
    // What was under way on it is answered all the same.
    expect((await Promise.all(holding)).map(String).toSorted()).toEqual(['hold a', 'hold b'])
    expect(router.stats()).toMatchObject({ inFlight: 0, waiting: 0 })
  })

  test.each([
    ['undeploy', (router: CompletionRouter) => router.undeploy('g', 'local::a')],
    ['removeGroup', (router: CompletionRouter) => router.removeGroup('g')],
    ['removeProvider', (router: CompletionRouter) => router.removeProvider('local')],
  ])('fails them with ERR_NO_GROUP if it was the last: %s', async (_how, remove) => {
    const { router, holding } = await taken('a')
    const calls = (await queued(router, 5)).map(caught)
    expect(remove(router)).toBe(true)
    for (const error of await Promise.all(calls)) {
      expect(error).toMatchObject({ name: 'ThrydError', code: 'ERR_NO_GROUP' })
    }
    expect(router.stats().waiting).toBe(0)
    release()
    await Promise.all(holding)
    expect(server.seen).toHaveLength(1)
  })

  test('has still spent what it spent when it comes back, and is in flight where it was', async () => {
    const { router, holding } = await taken('a')
    router.undeploy('g', 'local::a')
    router.deploy('g', 'local::a', { rpm: 2, maxConcurrent: 2 })
    const [deployment] = router.stats().groups['g']?.deployments ?? []
    expect(deployment).toMatchObject({ inFlight: 1, window: { requests: 1 } })
    const atOnce = () => router.invoke('g', { message: 'Hi' }, { queueMs: 0 })
    await atOnce()
    expect(await caught(atOnce())).toBeInstanceOf(RateLimitError)
    release()
    await Promise.all(holding)
    expect(router.stats().groups['g']?.deployments[0]).toMatchObject({ inFlight: 0, window: { requests: 2 } })
  })
})

describe('a deployment that is added while calls wait', () => {
  test('takes the first of them at once', async () => {
    const { router, holding } = await taken('a')
    const calls = await queued(router, 3)
    router.deploy('g', 'local::b', { maxConcurrent: 1 })
    const answers = await Promise.all(calls)
    expect(answers.map(({ deployment }) => deployment)).toEqual(['local::b', 'local::b', 'local::b'])
    expect(server.seen.slice(1).map(question)).toEqual(['0', '1', '2'])
    release()
    await Promise.all(holding)
  })
})
