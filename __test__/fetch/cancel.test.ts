import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'

import { CompletionRouter } from 'thryd'
import { toFetch } from 'thryd/fetch'

import { caught } from '../support/caught'
import { BASE, chat, refused, untilItBreaks } from '../support/gateway'
import { SOON } from '../support/idle'
import { TestServer, beginEvents, event, piece } from '../support/server'
import { streamingFrom } from '../support/streams'
import { expectClosed } from '../support/tries'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
})
afterEach(() => server.reset())
afterAll(() => server.close())

/** How long the provider's socket outlives `leave`. */
async function closedAfter(leave: () => unknown): Promise<number> {
  const start = performance.now()
  await leave()
  await server.last.closed
  return performance.now() - start
}

const silence = (): void => undefined

async function drip(_seen: unknown, response: Parameters<typeof event>[0]): Promise<void> {
  beginEvents(response)
  await event(response, piece({ content: 'hi' }))
}

describe('a client that leaves', () => {
  test.each([false, true])('while it waits takes the provider’s socket with it (stream: %s)', async (stream) => {
    await expectClosed(async () => {
      server.reset()
      server.answer = silence
      const controller = new AbortController()
      const call = chat(toFetch({ completion: streamingFrom(server) }), 'hi', { stream }, { signal: controller.signal })
      await server.received()
      const reason = new Error('enough')
      const error = caught(call)
      const closedMs = await closedAfter(() => controller.abort(reason))
      expect(await error).toBe(reason)
      return closedMs
    })
  })

  test('before it has asked sends nothing', async () => {
    const router = streamingFrom(server)
    const call = chat(toFetch({ completion: router }), 'hi', {}, { signal: AbortSignal.abort() })
    expect((await caught(call)).name).toBe('AbortError')
    expect(server.seen.length).toBe(0)
  })

  test('at the moment at which its answer begins is not overheard', async () => {
    const dummy = { responses: [{ fault: 'stall', afterTokens: 1 } as const], repeat: true, latencyMs: 3 }
    const router = new CompletionRouter({
      providers: [{ type: 'dummy', dummy }],
      groups: { default: { deployments: ['dummy::m'] } },
    })
    const handler = toFetch({ completion: router })
    const reason = new Error('another was faster')
    for (let trial = 0; trial < 30; trial += 1) {
      const [winner, loser] = [new AbortController(), new AbortController()]
      const ask = (name: string, { signal }: AbortController): Promise<Response> =>
        chat(handler, `${name} ${trial}`, { stream: true }, { signal })
      const first = ask('first', winner).then(() => loser.abort(reason))
      const error = ask('second', loser).then(
        async (response) => (await untilItBreaks(response)).error,
        (rejected: unknown) => rejected,
      )
      await first
      expect(await error).toBe(reason)
      winner.abort()
    }
    await vi.waitFor(() => expect(router.stats().inFlight).toBe(0), SOON)
  })

  test('in the middle of a stream finds its own reason there', async () => {
    await expectClosed(async () => {
      server.reset()
      server.answer = drip
      const controller = new AbortController()
      const handler = toFetch({ completion: streamingFrom(server) })
      const response = await chat(handler, 'hi', { stream: true }, { signal: controller.signal })
      const broken = untilItBreaks(response)
      const reason = new Error('enough')
      await server.received()
      const closedMs = await closedAfter(() => controller.abort(reason))
      expect((await broken).error).toBe(reason)
      return closedMs
    })
  })

  test('a server gets 499 for, because there is nobody to reject to', async () => {
    await expectClosed(async () => {
      server.reset()
      server.answer = silence
      const controller = new AbortController()
      const request = new Request(`${BASE}/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'default', messages: [{ role: 'user', content: 'hi' }] }),
        signal: controller.signal,
      })
      const response = toFetch({ completion: streamingFrom(server) })(request)
      await server.received()
      const closedMs = await closedAfter(() => controller.abort())
      expect(await refused(await response)).toMatchObject({ status: 499, code: 'client_closed_request' })
      return closedMs
    })
  })

  test('in the middle of its own body is heard', async () => {
    const controller = new AbortController()
    const body = new ReadableStream({ start: (given) => given.enqueue(new TextEncoder().encode('{"model":')) })
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body, duplex: 'half', signal: controller.signal } as RequestInit
    const call = toFetch({ completion: streamingFrom(server) })(`${BASE}/chat/completions`, init)
    setImmediate(() => controller.abort())
    expect((await caught(call)).name).toBe('AbortError')
  })
})

describe('a body that is left', () => {
  test('closes the provider’s socket', async () => {
    await expectClosed(async () => {
      server.reset()
      server.answer = drip
      const response = await chat(toFetch({ completion: streamingFrom(server) }), 'hi', { stream: true })
      expect(response.status).toBe(200)
      const reader = (response.body as ReadableStream<Uint8Array>).getReader()
      await reader.read()
      return await closedAfter(() => reader.cancel())
    })
  })

  test('before anything of it was read closes it too', async () => {
    await expectClosed(async () => {
      server.reset()
      server.answer = drip
      const response = await chat(toFetch({ completion: streamingFrom(server) }), 'hi', { stream: true })
      expect(response.status).toBe(200)
      return await closedAfter(() => response.body?.cancel())
    })
  })

  test('leaves an equal stream of another reader alone', async () => {
    let finish: (() => void) | undefined
    server.answer = async (seen, response) => {
      await drip(seen, response)
      finish = () => {
        void event(response, piece({}, 'stop')).then(() => response.end('data: [DONE]\n\n'))
      }
    }
    const handler = toFetch({ completion: streamingFrom(server) })
    const [first, second] = await Promise.all([
      chat(handler, 'hi', { stream: true }),
      chat(handler, 'hi', { stream: true }),
    ])
    await first.body?.cancel()
    finish?.()
    expect((await untilItBreaks(second)).data.at(-1)).toBe('[DONE]')
  })
})
