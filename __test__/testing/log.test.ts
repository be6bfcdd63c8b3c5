import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { FaultServer, type LoggedRequest } from 'thryd/testing'

import { CompletionRouter } from '../..'
import { caught } from '../support/caught'
import { CONTENT, chat, fetched, serveFaults, server, statuses } from '../support/faults'
import { printed, run } from '../support/script'

serveFaults()

/** Listens again; somebody else may have been given the port meanwhile, for a moment. */
async function listenAgain(other: FaultServer): Promise<void> {
  const until = performance.now() + 10_000
  for (;;) {
    try {
      return await other.listen()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || performance.now() > until) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

describe('the log', () => {
  const lastLeft = (): LoggedRequest | undefined => {
    const last = server.requests.at(-1)
    return last?.endedBy === 'client' ? last : undefined
  }

  test('says what came and what became of it, without the key', async () => {
    const key = 'sk-secret'
    const router = new CompletionRouter({
      providers: [{ ...server.provider('local'), apiKey: key, headers: { 'x-team': 'a' } }],
    })
    await router.deploy('default', 'local::m').invoke('default', { message: 'hi', temperature: 1 })
    await server.waitFor(() => server.counts.open === 0)
    const [request] = server.requests
    expect(request).toMatchObject({
      number: 0,
      path: '/v1/chat/completions',
      model: 'm',
      stream: false,
      served: 'ok',
      status: 200,
      endedBy: 'server',
      body: { model: 'm', temperature: 1, messages: [{ role: 'user', content: 'hi' }] },
    })
    expect(request?.headers).toMatchObject({ 'x-team': 'a', 'content-type': 'application/json' })
    expect(JSON.stringify([request, request?.headers])).not.toContain(key)
  })

  test('says when requests came, so that gaps can be told, and on which connection', async () => {
    const begun = performance.now()
    await statuses('m', 3)
    const times = server.requests.map(({ atMs }) => atMs)
    expect(times).toEqual(times.toSorted((left, right) => left - right))
    expect([times[0] ?? 0, performance.now()]).toEqual([
      times[0],
      expect.toSatisfy((now: number) => now > (times[2] ?? now)),
    ])
    expect(times[0]).toBeGreaterThan(begun)
    await chat('m').ended
    const [first, , , last] = server.requests
    expect(last?.connection).not.toBe(first?.connection)
  })

  test('sees a client leave, and when: before an answer and in the middle of one', async () => {
    server.script('slow', { tokenIntervalMs: 20, content: 'word '.repeat(1000) })
    for (const model of ['hang', 'slow']) {
      const heard = chat(model, { stream: true })
      await server.waitFor(
        () => server.requests.at(-1)?.served === 'hang' || (server.requests.at(-1)?.tokens ?? 0) >= 2,
      )
      const left = performance.now()
      heard.socket.destroy()
      const request = await server.waitFor(() => lastLeft())
      expect([request.model, request.endedAtMs]).toEqual([model, expect.toSatisfy((at: number) => at >= left)])
      const { tokens } = request
      expect(tokens).toBeLessThan(1000)
      await (await fetched('ok')).text()
      expect(request.tokens, 'nothing more is said to one who left').toBe(tokens)
    }
    expect(server.counts).toMatchObject({ requests: 4, open: 0, aborted: 2 })
  })

  test('sees a router cancel', async () => {
    const router = new CompletionRouter({ providers: [server.provider()] }).deploy('default', 'faulty::stall')
    for await (const chunk of router.stream('default', { message: CONTENT })) {
      expect(chunk).toMatchObject({ type: 'content' })
      break
    }
    await server.waitFor(() => server.requests[0]?.endedBy === 'client')
    expect(server.requests[0]).toMatchObject({ served: 'stall', status: 200, tokens: 2 })
  })

  test('that asks for what a script does is told at once', async () => {
    await using other = await FaultServer.start()
    let release: ((behaviour: 'ok') => void) | undefined
    other.script('held', () => new Promise<'ok'>((resolve) => (release = resolve)))
    const body = JSON.stringify({ model: 'held', messages: [] })
    const answer = fetch(`${other.url}/chat/completions`, { method: 'POST', body })
    const go = await other.waitFor(() => release)
    go('ok')
    expect((await answer).status).toBe(200)
  })

  test('counts everything and keeps only so many', async () => {
    for (const logLimit of [0, 2]) {
      await using other = await FaultServer.start({ logLimit })
      await statuses('m', 3, other)
      await statuses('status-503', 1, other)
      await other.waitFor(() => other.counts.open === 0)
      expect(other.requests.map(({ number }) => number)).toEqual([2, 3].slice(0, logLimit))
      expect(other.counts).toEqual({
        requests: 4,
        open: 0,
        aborted: 0,
        tokens: 0,
        served: { ok: 3, 'status-503': 1 },
        models: { m: 3, 'status-503': 1 },
      })
    }
  })
})

describe('its life', () => {
  test('a reset goes back to the start: scripts, chances, outages and the log', async () => {
    await using other = await FaultServer.start({ seed: 3, models: { m: ['status-500'] }, faults: { html: 0.5 } })
    const answers = async (): Promise<unknown[]> => {
      for (let place = 0; place < 20; place++) await (await fetched('m', {}, other)).text()
      return other.requests.map(({ served, number }) => [served, number])
    }
    const first = await answers()
    other.script('m', 'ok').outage()
    other.reset()
    expect([other.requests, other.counts.requests]).toEqual([[], 0])
    expect(await answers()).toEqual(first)
  })

  test('what is under way at a reset is in no log any more', async () => {
    const heard = chat('hang')
    await server.waitFor(() => server.requests[0]?.served)
    server.reset()
    heard.socket.destroy()
    await server.waitFor(() => server.counts.open === 0)
    await (await fetched('ok')).text()
    await server.waitFor(() => server.counts.open === 0)
    expect(server.counts).toMatchObject({ requests: 1, aborted: 0 })
  })

  test('one that refuses is refused by the system, and listens again on its port', async () => {
    await using other = await FaultServer.start()
    const { port } = other
    const held = chat('hang', {}, other)
    await other.waitFor(() => other.counts.open === 1)
    await other.refuse()
    expect((await held.ended).end).toBe('rst')
    expect(await caught(fetched('m', {}, other))).toHaveProperty('cause.code', 'ECONNREFUSED')
    await listenAgain(other)
    expect([other.port, ...(await statuses('m', 1, other))]).toEqual([port, 200])
  })

  test('closing ends every connection, and more than once is well', async () => {
    const other = await FaultServer.start()
    const heard = [chat('hang', {}, other), chat('stall', { stream: true }, other)]
    await other.waitFor(() => other.counts.requests === 2)
    expect(other.connections).toBe(2)
    await Promise.all([other.close(), other.close()])
    expect(other.connections).toBe(0)
    for (const { ended } of heard) expect((await ended).end).toBeDefined()
    await other.close()
  })

  test('it ends with its block, and the process with it', async () => {
    const source = `
      import { FaultServer } from 'thryd/testing'
      const server = await FaultServer.start()
      fetch(server.url + '/chat/completions', { method: 'POST', body: '{"model":"hang"}' }).catch(() => {})
      await server.waitFor(() => server.counts.open === 1)
      await server[Symbol.asyncDispose]()
      console.log(server.connections)`
    expect(await printed(source)).toBe(0)
  })

  test('waiting for what does not come fails and says what there is; what a predicate throws is thrown', async () => {
    await statuses('status-503', 1)
    const late = server.waitFor(() => server.counts.requests === 2, { timeoutMs: 20 })
    await expect(late).rejects.toThrow(/has not come within 20 ms: .*"requests":1.*"status-503":1/)
    const broken = server.waitFor(() => {
      throw new RangeError('mine')
    })
    await expect(broken).rejects.toThrow(RangeError)
    expect(await server.waitFor(() => server.requests[0]?.status)).toBe(503)
  })
})

describe('the entry point thryd/testing', () => {
  test('loads no addon, and gives the same class to import and require', async () => {
    const source = `
      import { FaultServer } from 'thryd/testing'
      import { createRequire } from 'node:module'
      const require = createRequire(import.meta.url)
      const same = require('thryd/testing').FaultServer === FaultServer
      const addons = process.report.getReport().sharedObjects.filter((path) => path.endsWith('.node'))
      console.log(JSON.stringify({ same, addons }))`
    expect(await printed(source)).toEqual({ same: true, addons: [] })
  })

  test('exports the values that its typings declare, and no others', () => {
    const typings = readFileSync(join(import.meta.dirname, '../../testing.d.ts'), 'utf8')
    const declared = [...typings.matchAll(/^export declare (?:abstract class|class|function|const) (\w+)/gm)]
    const exported = createRequire(import.meta.url)('thryd/testing') as object
    expect(declared.map(([, name]) => name).toSorted()).toEqual(Object.keys(exported).toSorted())
  })

  test('does not hold the process before it is started', async () => {
    expect((await run(`import 'thryd/testing'; console.log(1)`)).code).toBe(0)
  })
})
