import { describe, expect, test } from 'vitest'

import { type Behaviour, FaultServer, type FaultServerOptions } from 'thryd/testing'

import { caught } from '../support/caught'
import { CONTENT, chat, fetched, serveFaults, server, statuses } from '../support/faults'
import { printed } from '../support/script'
import { CLOSED, TRIES, expectWithin } from '../support/tries'

serveFaults()

describe('what a request gets', () => {
  test('a list says each thing once, and then the model behaves as if it had no script', async () => {
    server.script('m', ['status-500', { status: 503 }, 'ok'])
    expect(await statuses('m', 5)).toEqual([500, 503, 200, 200, 200])
    server.script('status-418', ['ok'])
    expect(await statuses('status-418', 2)).toEqual([200, 418])
  })

  test('one behaviour holds until it is taken away', async () => {
    server.script('m', 'status-503')
    expect(await statuses('m', 3)).toEqual([503, 503, 503])
    server.script('m')
    expect(await statuses('m', 1)).toEqual([200])
  })

  test('a function sees the request, and may leave it to the others', async () => {
    server.script('m', ({ body, number }) => (body['temperature'] === 2 ? { status: 400 + number } : undefined))
    expect((await fetched('m', { temperature: 2 })).status).toBe(400)
    expect((await fetched('m', { temperature: 2 })).status).toBe(401)
    expect((await fetched('m', { temperature: 1 })).status).toBe(200)
  })

  test('a promise holds the request until it settles', async () => {
    let release: (behaviour: Behaviour) => void = () => undefined
    server.script('m', () => new Promise((resolve) => (release = resolve)))
    const answer = fetched('m')
    await server.waitFor(() => server.requests.length === 1)
    expect(server.requests[0]).toMatchObject({ served: undefined, status: undefined })
    release('status-503')
    expect((await answer).status).toBe(503)
  })

  test('an outage goes before scripts, which wait; a script before the name; the name before the rest', async () => {
    await using other = await FaultServer.start({
      models: { scripted: ['status-501'], '*': 'status-502', 'status-500': ['status-504'] },
      faults: { status: { 505: 1 } },
    })
    other.outage()
    expect(await statuses('scripted', 2, other)).toEqual([503, 503])
    other.recover().outage('status-599', 'scripted')
    expect(await statuses('scripted', 1, other)).toEqual([599])
    other.recover('scripted')
    expect(await statuses('scripted', 2, other)).toEqual([501, 502])
    expect(await statuses('status-500', 2, other)).toEqual([504, 500])
    other.script('*')
    expect(await statuses('scripted', 1, other)).toEqual([505])
  })

  test('names may say after how many tokens', async () => {
    for (const [name, content] of [
      ['cut-0', ''],
      ['cut-3', 'one two three '],
      ['end-1', 'one '],
      ['end-99', CONTENT],
    ] as const)
      expect((await chat(name, { stream: true }).ended).content).toBe(content)
  })

  test('shares come as often as they should, and the same again with the same seed', async () => {
    const options = (seed: number): FaultServerOptions => ({
      seed,
      faults: { status: { 503: 0.2, 429: 0.1 }, html: 0.1 },
    })
    const drawn = async (seed: number, model: string): Promise<string[]> => {
      await using other = await FaultServer.start(options(seed))
      await statuses(model, 400, other)
      return other.requests.map(({ served }) => String(served))
    }
    const first = await drawn(1, 'm')
    const share = (served: string): number => first.filter((one) => one === served).length / 400
    // Five standard deviations.
    expect(Math.abs(share('status-503') - 0.2)).toBeLessThan(0.1)
    expect(Math.abs(share('status-429') - 0.1)).toBeLessThan(0.075)
    expect(Math.abs(share('html') - 0.1)).toBeLessThan(0.075)
    expect(await drawn(1, 'm')).toEqual(first)
    expect(await drawn(2, 'm')).not.toEqual(first)
    expect(await drawn(1, 'n')).not.toEqual(first)
  })

  test('what one model draws does not depend on the others', async () => {
    const served = async (order: string[]): Promise<unknown[]> => {
      await using other = await FaultServer.start({ seed: 5, faults: { html: 0.5 } })
      for (const model of order) await (await fetched(model, {}, other)).text()
      return other.requests.filter(({ model }) => model === 'a').map((request) => request.served)
    }
    const alone = await served(Array.from({ length: 20 }, () => 'a'))
    expect(await served(Array.from({ length: 40 }, (_, place) => (place % 2 === 0 ? 'b' : 'a')))).toEqual(alone)
    expect(new Set(alone).size).toBe(2)
  })

  test('a model may have shares of its own, with everything else that a behaviour can say', async () => {
    server.script('m', { content: 'mine', faults: { status: { 503: 0.5 } } })
    const bodies = new Set<string>()
    for (let place = 0; place < 30; place++) bodies.add(await (await fetched('m')).text())
    expect([...bodies].filter((body) => body.includes('"mine"')).length).toBeGreaterThan(1)
    expect([...bodies].filter((body) => body.includes('status 503')).length).toBe(1)
  })

  test('a script that throws ends the request, and the process hears of it', async () => {
    const source = `
      import { FaultServer } from 'thryd/testing'
      const server = await FaultServer.start({ models: { m: () => { throw new Error('a typo') } } })
      process.on('uncaughtException', ({ message }) => heard.push(message))
      const heard = []
      const answer = await fetch(server.url + '/chat/completions', { method: 'POST', body: '{"model":"m"}' })
      console.log(JSON.stringify([answer.status, heard]))
      await server.close()`
    expect(await printed(source)).toEqual([500, ['a typo']])
  })
})

describe('the clock', () => {
  test('latency passes before the headers, also of a status', async () => {
    await using slow = await FaultServer.start({ latencyMs: [60, 80], models: { quick: { latencyMs: 0 } } })
    const quick = Array.from({ length: TRIES }, () => 'quick')
    for (const model of ['m', 'status-503', ...quick]) await (await fetched(model, {}, slow)).text()
    const taken = slow.requests.map(({ atMs, answeredAtMs = 0 }) => answeredAtMs - atMs)
    // Timers may be early by less than a millisecond.
    expect(taken[0]).toBeGreaterThan(58)
    expect(taken[1]).toBeGreaterThan(58)
    expectWithin(taken.slice(2), { ...CLOSED, median: 58 })
  })

  test('tokens come one by one, and the log counts them as they go', async () => {
    server.script('m', { tokenIntervalMs: 30 })
    const heard = chat('m', { stream: true })
    await server.waitFor(() => server.requests[0]?.tokens === 2)
    expect(server.requests[0]?.endedAtMs).toBe(undefined)
    await heard.ended
    expect([heard.content, heard.isComplete, server.requests[0]?.tokens]).toEqual([CONTENT, true, 4])
    const { atMs = 0, endedAtMs = 0 } = server.requests[0] ?? {}
    expect(endedAtMs - atMs).toBeGreaterThan(4 * 30 - 4)
  })

  test('slow tokens can be cut, too', async () => {
    server.script('m', { fault: 'cut', afterTokens: 3, tokenIntervalMs: 5 })
    const heard = await chat('m', { stream: true }).ended
    expect([heard.content, heard.isComplete]).toEqual(['one two three ', false])
  })
})

describe('options and behaviours', () => {
  test('that are wrong are named', async () => {
    const start = (options: object): Promise<unknown> => caught(FaultServer.start(options as FaultServerOptions))
    for (const [options, name, message] of [
      [{ sed: 1 }, 'TypeError', 'fault server options.sed: expected one of the options port, seed, '],
      [{ seed: 1.5 }, 'RangeError', 'fault server options.seed: expected an integer'],
      [{ port: 70_000 }, 'RangeError', 'fault server options.port: expected an integer from 0 to 65535, got 70000'],
      [{ latencyMs: '5' }, 'TypeError', 'fault server options.latencyMs: expected a number of at least 0, got "5"'],
      [{ latencyMs: [5] }, 'TypeError', 'fault server options.latencyMs: expected a number or [min, max], got [ 5 ]'],
      [
        { latencyMs: [5, 1] },
        'RangeError',
        'fault server options.latencyMs: expected [min, max] with min not above max',
      ],
      [
        { faults: { reset: 2 } },
        'RangeError',
        'fault server options.faults.reset: expected a number from 0 to 1, got 2',
      ],
      [
        { faults: { rest: 1 } },
        'TypeError',
        'fault server options.faults.rest: expected one of the options status, reset',
      ],
      [
        { faults: { status: { 200: 1 } } },
        'RangeError',
        'fault server options.faults.status: expected HTTP statuses from',
      ],
      [
        { faults: { cut: 0.6, html: 0.6 } },
        'RangeError',
        'fault server options.faults: expected shares that add up to at',
      ],
      [{ models: { m: 'cutt' } }, 'TypeError', `script of "m": expected 'ok', one of the faults reset, close, `],
      [{ models: { m: 'status-99' } }, 'TypeError', `script of "m": expected 'ok', one of the faults`],
      [{ models: { m: ['ok', 7] } }, 'TypeError', 'script of "m"[1]: expected a name or an object, got 7'],
      [{ models: { m: { fault: 'x' } } }, 'TypeError', 'script of "m".fault: expected one of the faults reset, close'],
      [{ models: { m: { fault: 'cut', status: 500 } } }, 'TypeError', 'script of "m": expected only one of `fault`, '],
      [
        { models: { m: { status: 99 } } },
        'RangeError',
        'script of "m".status: expected an integer from 200 to 599, got 99',
      ],
      [
        { models: { m: { afterTokens: -1 } } },
        'RangeError',
        'script of "m".afterTokens: expected an integer of at least 0',
      ],
      [
        { models: { m: { toolCalls: [{}] } } },
        'TypeError',
        'script of "m".toolCalls[0].name: expected a string, got undefined',
      ],
      [{ models: { m: { headers: { a: 1 } } } }, 'TypeError', 'script of "m".headers.a: expected a string, got 1'],
      [
        { models: { m: { headers: { 'a b': 'x' } } } },
        'TypeError',
        'script of "m".headers: expected names of HTTP headers, got "a b"',
      ],
      [
        { models: { m: { headers: { a: 'x\ny' } } } },
        'TypeError',
        'script of "m".headers.a: expected text without control characters',
      ],
      [{ models: { m: { body: 1n } } }, 'TypeError', 'script of "m".body: expected a value that JSON can hold, got 1n'],
      [{ models: { m: { body: () => 1 } } }, 'TypeError', 'script of "m".body: expected a value that JSON can hold'],
      [{ models: { m: 'status-0503' } }, 'TypeError', `script of "m": expected 'ok', one of the faults`],
    ] as const) {
      const error = await start(options)
      expect(error).toMatchObject({ name, message: expect.stringContaining(message) })
    }
    expect(() => server.script('m', 'cutt' as 'cut')).toThrow(/^script of "m": expected /)
    expect(() => server.outage({ status: 9 })).toThrow(/^outage.status: expected /)
    expect(() => server.outage('reset', 5 as unknown as string)).toThrow(/^outage: models\[0\]: expected a string /)
    expect(() => server.script('', 'ok')).toThrow(/^script: model: expected a string that is not empty, got ""/)
    expect(() => server.provider('a::b')).toThrow(/^provider: name: expected a name without `::`/)
    for (const options of [{ timeoutMs: Number.NaN }, { timeoutMs: -1 }, { timeout: 5 }]) {
      const error = await caught(server.waitFor(() => true, options as { timeoutMs: number }))
      expect(String(error)).toMatch(/waitFor options\.timeout/)
    }
    expect(String(await caught(server.waitFor(5 as unknown as () => boolean)))).toMatch(
      /predicate: expected a function/,
    )
    const closed = await FaultServer.start()
    await closed.close()
    expect(String(await caught(closed.listen()))).toMatch(/closed/)
    await using one = await FaultServer.start({ port: 0, seed: null, faults: null } as unknown as FaultServerOptions)
    expect(await caught(FaultServer.start({ port: one.port }))).toHaveProperty('code', 'EADDRINUSE')
  })
})
