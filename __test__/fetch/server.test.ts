import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { toFetch } from 'thryd/fetch'

import { events, refused, untilItBreaks } from '../support/gateway'
import { served } from '../support/http'
import { TestServer, beginEvents, event, piece } from '../support/server'
import { streamingFrom } from '../support/streams'
import { expectClosed } from '../support/tries'

let server: TestServer
let gateway: Awaited<ReturnType<typeof served>>
beforeAll(async () => {
  server = await TestServer.start()
  gateway = await served(toFetch({ completion: streamingFrom(server), maxBodyBytes: 100_000 }))
})
afterEach(() => server.reset())
afterAll(async () => {
  gateway.close()
  await server.close()
})

function ask(content: string, more: object = {}, signal?: AbortSignal): Promise<Response> {
  return fetch(`${gateway.url}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'default', messages: [{ role: 'user', content }], ...more }),
    ...(signal && { signal }),
  })
}

describe('behind node:http', () => {
  test('answers are what they are without a server', async () => {
    expect(await (await ask('hi')).json()).toMatchObject({ choices: [{ message: { content: 'hi' } }] })
    expect((await events(await ask('one two', { stream: true }))).at(-1)).toBe('[DONE]')
    expect((await refused(await ask('x'.repeat(200_000)))).status).toBe(413)
    expect((await fetch(`${gateway.url}/models`)).status).toBe(200)
  })

  test('a stream that breaks is cut for the client, after it was told why', async () => {
    server.answer = async (_seen, response) => {
      beginEvents(response)
      await event(response, piece({ content: 'hi' }))
      response.destroy()
    }
    const { data, error } = await untilItBreaks(await ask('hi', { stream: true }))
    expect(error).toBeInstanceOf(TypeError)
    expect(data).toEqual([JSON.stringify(piece({ content: 'hi' })), expect.stringContaining('stream_interrupted')])
  })

  test.each([false, true])('a client that hangs up reaches the provider (stream: %s)', async (stream) => {
    server.answer = async (_seen, response) => {
      if (!stream) return
      beginEvents(response)
      await event(response, piece({ content: 'hi' }))
    }
    await expectClosed(async () => {
      server.seen.length = 0
      const controller = new AbortController()
      const response = ask('hi', { stream }, controller.signal)
      const outcome = response.then(untilItBreaks).catch((error: unknown) => ({ error }))
      const seen = await server.received()
      if (stream) await response
      const start = performance.now()
      controller.abort()
      await seen.closed
      const closedMs = performance.now() - start
      expect((await outcome).error).toMatchObject({ name: 'AbortError' })
      return closedMs
    })
  })
})
