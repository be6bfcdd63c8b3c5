import { describe, expect, test } from 'vitest'

import { CompletionRouter, EmbeddingRouter, RerankRouter } from '../..'
import { CONTENT, chat, fetched, serveFaults, server } from '../support/faults'
import type { Heard } from '../support/raw'

serveFaults()

/** Waits until a request was answered as it is to be, and a later exchange is over: whatever was to come has come. */
async function settled(heard: Heard): Promise<Heard> {
  await server.waitFor(() => server.requests.at(-1)?.served)
  const { tokens } = server.requests.at(-1) ?? { tokens: 0 }
  await (await fetched('ok')).text()
  await expect.poll(() => heard.events.length).toBe(tokens > 0 ? tokens + 1 : 0)
  return heard
}

describe('on the raw socket', () => {
  test('a reset is an RST before the first byte', async () => {
    for (const stream of [false, true]) {
      const heard = await chat('reset', { stream }).ended
      expect([heard.text, heard.end]).toEqual(['', 'rst'])
    }
  })

  test('a close is a FIN before the first byte', async () => {
    for (const stream of [false, true]) {
      const heard = await chat('close', { stream }).ended
      expect([heard.text, heard.end]).toEqual(['', 'fin'])
    }
  })

  test('one that hangs says nothing and stays open', async () => {
    const heard = await settled(chat('hang', { stream: true }))
    expect([heard.text, heard.end]).toEqual(['', undefined])
    expect(server.requests[0]).toMatchObject({ served: 'hang', status: undefined, endedAtMs: undefined })
  })

  test('a stall is silence in the middle of an open stream', async () => {
    const heard = await settled(chat('stall', { stream: true }))
    expect([heard.content, heard.isComplete, heard.end]).toEqual(['one two ', false, undefined])
  })

  test('a whole answer stalls after half of the bytes that it announced', async () => {
    const heard = chat('stall')
    await expect.poll(() => heard.body).toMatch(/^\{"id":"fault-0".*[^}]$/)
    expect(heard.end).toBe(undefined)
    expect(Number(/content-length: (\d+)/.exec(heard.head)?.[1])).toBeGreaterThan(1.9 * heard.body.length)
  })

  test('a cut stream has no last chunk', async () => {
    const heard = await chat('cut', { stream: true }).ended
    expect([heard.content, heard.isComplete, heard.end]).toEqual(['one two ', false, 'fin'])
  })

  test('a whole answer is cut before the bytes that it announced', async () => {
    const heard = await chat('cut').ended
    expect(Number(/content-length: (\d+)/.exec(heard.head)?.[1])).toBeGreaterThan(1.9 * heard.body.length)
    expect([heard.body.length > 0, heard.end]).toEqual([true, 'fin'])
  })

  test('a stream that ends early ends cleanly, and says no finish reason', async () => {
    const heard = await chat('end', { stream: true }).ended
    expect([heard.content, heard.isComplete]).toEqual(['one two ', true])
    expect(heard.body).not.toMatch(/"finish_reason":"|\[DONE\]/)
  })

  test('a whole answer that ends early is JSON without a finish reason', async () => {
    const { choices } = (await (await fetched('end')).json()) as { choices: unknown[] }
    expect(choices).toEqual([{ index: 0, message: { role: 'assistant', content: 'one two ' }, finish_reason: null }])
  })

  test('a malformed event stands in the place of a token, and the stream goes on', async () => {
    const { events, isComplete } = await chat('malformed', { stream: true }).ended
    const isReadable = events.map((data) => data === '[DONE]' || isJson(data))
    expect(isReadable).toEqual([true, true, true, false, true, true, true])
    expect([events.at(-1), isComplete]).toEqual(['[DONE]', true])
  })

  test('an error event comes with status 200', async () => {
    const { head, events, isComplete } = await chat('errorEvent', { stream: true }).ended
    expect([head.split(' ')[1], events.length, isComplete]).toEqual(['200', 4, true])
    expect(JSON.parse(events.at(-1) ?? '')).toHaveProperty('error.message')
    const response = await fetched('errorEvent')
    expect([response.status, await response.json()]).toEqual([
      200,
      expect.objectContaining({ error: expect.anything() }),
    ])
  })

  test('a stream without [DONE] says everything else', async () => {
    const heard = await chat('noDone', { stream: true }).ended
    expect([heard.content, heard.isComplete]).toEqual([CONTENT, true])
    expect(heard.events.at(-1)).toContain('"finish_reason":"stop"')
  })

  test('a refusal that stalls says its status and its length, and nothing more', async () => {
    for (const stream of [false, true]) {
      const heard = chat('stallError', { stream })
      await expect.poll(() => heard.text).toMatch(/\r\n\r\n$/)
      await settled(heard)
      expect([heard.head.split(' ')[1], heard.body, heard.end]).toEqual(['503', '', undefined])
      expect(Number(/content-length: (\d+)/.exec(heard.head)?.[1])).toBeGreaterThan(0)
      expect(server.requests.find(({ served }) => served === 'stallError')).toMatchObject({
        status: 503,
        endedAtMs: undefined,
      })
      heard.socket.destroy()
      await server.waitFor(() => server.counts.open === 0)
      server.reset()
    }
  })

  test.each([
    ['cutAfterFinish', 'fin'],
    ['stallAfterFinish', undefined],
  ])('with %s all of the answer has come, but for its usage and its end', async (fault, end) => {
    const body = { stream: true, stream_options: { include_usage: true } }
    const heard = chat(fault, body)
    await expect.poll(() => heard.events.at(-1)).toContain('"finish_reason":"stop"')
    if (end === undefined) await (await fetched('ok')).text()
    else await heard.ended
    expect([heard.content, heard.isComplete, heard.end]).toEqual([CONTENT, false, end])
    expect(heard.body).not.toMatch(/"usage"|\[DONE\]/)
    const whole = await fetched(fault)
    expect(await whole.json()).toHaveProperty('usage')
  })

  test('a page is HTML with status 200, and empty is nothing with status 200', async () => {
    for (const stream of [false, true]) {
      const page = await fetched('html', { stream })
      expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
      expect(await page.text()).toMatch(/^<!doctype html>/)
      const empty = await fetched('empty', { stream })
      expect([empty.status, await empty.text()]).toEqual([200, ''])
    }
  })

  test('whole answers that are not chats go wrong too', async () => {
    const ask = async (model: string, path: string, body: object): Promise<string> =>
      (await fetch(`${server.url}${path}`, { method: 'POST', body: JSON.stringify({ model, ...body }) })).text()
    for (const [path, body] of [
      ['/embeddings', { input: 'a' }],
      ['/rerank', { query: 'a', documents: ['b'] }],
    ] as const) {
      for (const fault of ['end', 'malformed'])
        expect([fault, isJson(await ask(fault, path, body))]).toEqual([fault, false])
      expect(JSON.parse(await ask('errorEvent', path, body))).toHaveProperty('error')
      await expect(ask('cut', path, body)).rejects.toThrow('terminated')
      expect(isJson(await ask('noDone', path, body))).toBe(true)
    }
  })

  test('a status brings its headers and the body that was asked for', async () => {
    server.script('m', [
      { status: 429, retryAfterMs: 1500, headers: { 'X-RateLimit-Remaining': '0' } },
      { status: 402, body: { error: { code: 'insufficient_quota' } } },
      { status: 502, body: '<html>', headers: { 'content-type': 'text/html' } },
      { body: { choices: [] } },
    ])
    const limited = await fetched('m')
    expect(await limited.json()).toEqual({ error: { message: 'a fault of the server: status 429' } })
    const named = ['retry-after-ms', 'retry-after', 'x-ratelimit-remaining'].map((name) => limited.headers.get(name))
    expect([limited.status, ...named]).toEqual([429, '1500', '2', '0'])
    const quota = await fetched('m')
    expect([quota.status, await quota.json()]).toEqual([402, { error: { code: 'insufficient_quota' } }])
    const gateway = await fetched('m')
    expect([gateway.status, gateway.headers.get('content-type'), await gateway.text()]).toEqual([
      502,
      'text/html',
      '<html>',
    ])
    expect(await (await fetched('m')).json()).toEqual({ choices: [] })
    expect(server.requests.map(({ served }) => served)).toEqual(['status-429', 'status-402', 'status-502', 'ok'])
  })
})

describe('good answers', () => {
  test('a stream says the same as the whole answer, and its usage if that is asked for', async () => {
    const whole = (await (await fetched('m')).json()) as { usage: unknown; choices: { message: { content: string } }[] }
    expect(whole.choices[0]?.message.content).toBe(CONTENT)
    expect(whole.usage).toEqual({ prompt_tokens: 4, completion_tokens: 4, total_tokens: 8 })
    const plain = await chat('m', { stream: true }).ended
    expect([plain.content, plain.isComplete, plain.events.at(-1)]).toEqual([CONTENT, true, '[DONE]'])
    expect(plain.body).not.toContain('usage')
    const asked = await chat('m', { stream: true, stream_options: { include_usage: true } }).ended
    expect(JSON.parse(asked.events.at(-2) ?? '')).toMatchObject({ choices: [], usage: whole.usage })
  })

  test('the echo is of the last message of the user, in parts or not', async () => {
    const talk = [
      { role: 'user', content: 'first' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'in "two" ' },
          { type: 'text', text: 'parts\n' },
        ],
      },
      { role: 'assistant', content: 'last' },
    ]
    expect((await chat('m', { messages: talk, stream: true }).ended).content).toBe('in "two" parts\n')
  })

  test('texts and tool calls of a script arrive through thryd, whole and streamed', async () => {
    server.script('m', {
      content: 'two words',
      toolCalls: [
        { name: 'f', arguments: { a: 1 } },
        { id: 'x', name: 'g' },
      ],
    })
    const router = new CompletionRouter({ providers: [server.provider()] }).deploy('default', 'faulty::m')
    const whole = await router.invoke('default', { message: 'hi' })
    const stream = router.stream('default', { message: 'hi' })
    for (const answer of [whole, await stream.completion()]) {
      expect(answer).toMatchObject({
        content: 'two words',
        finishReason: 'tool_calls',
        toolCalls: [
          { id: 'call_0', name: 'f', arguments: '{"a":1}' },
          { id: 'x', name: 'g', arguments: '{}' },
        ],
      })
    }
  })

  test('vectors depend only on the text, as floats and as base64', async () => {
    const router = new EmbeddingRouter({ providers: [server.provider()] }).deploy('default', 'faulty::m')
    const { vectors } = await router.invoke('default', { input: ['red', 'blue', 'red'], dimensions: 5 })
    expect(vectors.map((vector) => vector.length)).toEqual([5, 5, 5])
    expect(vectors[0]).toEqual(vectors[2])
    expect(vectors[0]).not.toEqual(vectors[1])
    for (const vector of vectors) expect(Math.hypot(...vector)).toBeCloseTo(1, 5)
    const read = async (more: object): Promise<unknown> => {
      const body = JSON.stringify({ model: 'm', input: 'red', dimensions: 5, ...more })
      const answer = await fetch(`${server.url}/embeddings`, { method: 'POST', body })
      return ((await answer.json()) as { data: { embedding: unknown }[] }).data[0]?.embedding
    }
    const bytes = Buffer.from((await read({ encoding_format: 'base64' })) as string, 'base64')
    expect([0, 4, 8, 12, 16].map((place) => bytes.readFloatLE(place))).toEqual([...(vectors[0] ?? [])])
    expect(Float32Array.from((await read({})) as number[])).toEqual(vectors[0])
  })

  test('documents rank by the words that they share with the query', async () => {
    const router = new RerankRouter({ providers: [server.provider()] }).deploy('default', 'faulty::m')
    const request = { query: 'red Apple', documents: ['the sky', 'an apple, red', 'a red car'] }
    const { results } = await router.invoke('default', request)
    expect(results.map(({ index, score }) => [index, score])).toEqual([
      [1, 1],
      [2, 0.5],
      [0, 0],
    ])
  })

  test('the list of models names those with a script', async () => {
    server.script('gpt-4o', 'ok').script('*', 'reset')
    const list = (await (await fetch(`${server.url}/models`)).json()) as { data: { id: string }[] }
    expect(list.data.map(({ id }) => id)).toEqual(['gpt-4o'])
  })

  test('what nobody can answer is refused', async () => {
    const bad = await fetch(`${server.url}/chat/completions`, { method: 'POST', body: '{"model"' })
    const absent = await fetch(`${server.url}/images`, { method: 'POST', body: '{}' })
    expect([bad.status, absent.status]).toEqual([400, 404])
    expect(server.counts.served).toEqual({ 'status-400': 1, 'status-404': 1 })
  })
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
