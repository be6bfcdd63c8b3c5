import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'

import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'

import { Cache, CompletionRouter, type CustomProvider, EmbeddingRouter, type ProviderOptions } from '..'
import { caught, collected, thrownBy } from './support/caught'
import { TestServer, beginEvents, event, inTurn, piece, status } from './support/server'

const key = 'sk-proj-7gH2kQ9xZ4mN1pR8'
const tenant = 'tenant-secret-5Ty6Ui7Op'

let server: TestServer
let elsewhere: TestServer
let folder: string

beforeAll(async () => {
  server = await TestServer.start()
  elsewhere = await TestServer.start()
  folder = mkdtempSync(join(tmpdir(), 'thryd-secrets-'))
})
beforeEach(() => {
  server.reset()
  elsewhere.reset()
})
afterAll(async () => {
  await server.close()
  await elsewhere.close()
  rmSync(folder, { recursive: true })
})

const provider = (more: Partial<ProviderOptions> = {}): ProviderOptions => ({
  type: 'openai-compatible',
  name: 'local',
  baseUrl: server.url,
  apiKey: key,
  headers: { 'X-Secret-Tenant': tenant },
  ...more,
})

/** Everything that can be seen of a value without taking it apart. */
function shown(value: unknown): string {
  const error = value as Error
  const parts = [String(value), error?.stack, error?.message, inspect(value, { depth: 10, showHidden: true })]
  return [...parts, JSON.stringify(value), JSON.stringify(value, Object.getOwnPropertyNames(Object(value)))].join('\n')
}

function expectNoSecret(value: unknown): void {
  const text = shown(value)
  expect(text).not.toContain(key)
  expect(text).not.toContain(tenant)
  expect(text).not.toContain(key.slice(3))
}

describe('a key', () => {
  test.each([
    [
      'a 401 that repeats it',
      status(401, { error: { message: `Incorrect API key provided: ${key}.`, code: 'invalid_api_key' } }),
    ],
    ['a 403 page with it', status(403, `<html>${key}</html>`, { 'x-request-id': 'req_1' })],
    ['a 400 with the request’s headers', status(400, { error: { message: `got Authorization: Bearer ${key}` } })],
    ['a 500 with it', status(500, `panic: {"authorization":"Bearer ${key}","x-secret-tenant":"${tenant}"}`)],
    ['a 200 that is no answer', status(200, `echo ${key} ${tenant}`)],
    ['a 200 with an error', status(200, { error: { message: `bad key ${key}` } })],
    ['no answer at all', (_seen: unknown, response: { destroy(): unknown }) => response.destroy()],
  ] as [string, TestServer['answer']][])('is not in the error of %s', async (_what, answer) => {
    server.answer = answer
    const router = new CompletionRouter({ retry: { maxRetries: 1, baseDelayMs: 0, cooldownMs: 1 } })
    router.addProvider(provider()).deploy('default', 'local::m')
    const error = await caught(router.invoke('default', { message: 'Hi' }))
    expect(server.seen.length).toBeGreaterThan(0)
    expect(server.last.headers.authorization).toBe(`Bearer ${key}`)
    expect(server.last.headers['x-secret-tenant']).toBe(tenant)
    expectNoSecret(error)
    expectNoSecret(error['errors'])
    expectNoSecret(router.stats())
    expectNoSecret(router)
  })

  test('is not in the error of a stream that broke while it was read', async () => {
    server.answer = async (_seen, response) => {
      beginEvents(response)
      await event(response, piece({ content: 'Hel' }))
      await event(response, { error: { message: `key ${key} is over its limit` } })
      response.end()
    }
    const router = new CompletionRouter().addProvider(provider()).deploy('default', 'local::m')
    const error = await caught(
      (async () => {
        for await (const chunk of router.stream('default', { message: 'Hi' })) void chunk
      })(),
    )
    expect(error['delivered']).toBe('Hel')
    expectNoSecret(error)
  })

  test('is not in the attempts of an answer that came after it failed', async () => {
    server.answer = inTurn(status(500, `died on ${key}`), server.answer)
    const router = new CompletionRouter({ retry: { baseDelayMs: 0, cooldownMs: 1 } })
    const answer = await router
      .addProvider(provider())
      .deploy('default', 'local::m')
      .invoke('default', { message: 'Hi' })
    expect(answer.attempts).toHaveLength(2)
    expectNoSecret(answer)
  })

  test('is not in what is printed of a router, its options’ errors or its numbers', async () => {
    const router = new CompletionRouter({ providers: [provider()] }).deploy('default', 'local::m')
    await router.invoke('default', { message: 'Hi' })
    expectNoSecret(router)
    expectNoSecret(router.stats())
    const mistakes: object[] = [
      { apikey: key },
      { apiKey: `${key}\n${key}` },
      { apiKey: [key] },
      { apiKey: { key } },
      { headers: { authorization: `${key}\n` } },
      { headers: { authorization: [key] } },
      { headers: `authorization: ${key}` },
      { baseUrl: `https://user:${key}@host/v1` },
      { baseUrl: `https://host/v1?key=${key}` },
      { baseUrl: `ftp://${key}` },
      { baseUrl: `${key}` },
      { name: 'a::b' },
    ]
    for (const mistake of mistakes) {
      const error = thrownBy(() => new CompletionRouter().addProvider(provider(mistake as never)))
      expect(error).toBeInstanceOf(TypeError)
      expectNoSecret(error)
      expectNoSecret(thrownBy(() => new CompletionRouter({ providers: [provider(mistake as never)] })))
    }
  })

  test('of an encrypted cache is nowhere to be seen', async () => {
    const secret = Buffer.from('an encryption key of 32 bytes ..')
    const spellings = [
      secret.toString('hex'),
      secret.toString('base64'),
      secret.toString('latin1'),
      '97, 110, 32',
      '97,110',
    ]
    const expectHidden = (value: unknown): void => {
      for (const spelling of spellings) expect(shown(value)).not.toContain(spelling.slice(0, 40))
    }
    const path = join(folder, 'encrypted.redb')
    for (const encryptionKey of [new Uint8Array(secret), secret.toString('hex'), secret.toString('base64')]) {
      const router = new CompletionRouter().addProvider(provider()).deploy('default', 'local::m')
      await router.mountCache({ path, encryptionKey })
      const answer = await router.invoke('default', { message: 'A question that is kept' })
      expect(answer.cache).toBe(encryptionKey instanceof Uint8Array ? 'miss' : 'disk')
      await router.cache?.flush()
      for (const value of [router, router.cache, router.stats(), router.cache?.stats(), answer]) expectHidden(value)
      await router.close()
      await router.cache?.close()
    }
    expect(readFileSync(path).includes(secret)).toBe(false)
    expect(readFileSync(path).includes('local::m')).toBe(false)
    const [hex, base64] = spellings as [string, string]
    for (const mistake of [
      `${hex}0`,
      hex.slice(1),
      `${base64}=`,
      [...secret],
      { hex },
      secret.subarray(1),
      1234567,
    ] as never[]) {
      const error = await caught(Cache.open({ path, encryptionKey: mistake }))
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toMatch(/^cache options\.encryptionKey: expected 32 bytes/)
      expectHidden(error)
      expectHidden(thrownBy(() => new CompletionRouter({ cache: { path, encryptionKey: mistake } })))
    }
    expect(await caught(Cache.open({ encryptionKey: hex }))).toMatchObject({
      name: 'TypeError',
      message: expect.stringContaining('cache options.encryptionKey: expected a path beside it'),
    })
  })

  test('is not in the file of the cache', async () => {
    const path = join(folder, 'cache.redb')
    const router = new CompletionRouter({ cache: path })
    router.addProvider(provider()).deploy('default', 'local::m')
    const embedding = new EmbeddingRouter({ cache: path }).addProvider(provider()).deploy('default', 'local::m')
    await router.invoke('default', { message: 'a question with a long enough text to be found again' })
    server.answer = status(401, `who is ${key}?`)
    await caught(router.invoke('default', { message: 'another' }))
    await caught(embedding.invoke('default', { input: 'another' }))
    await router.close()
    await embedding.close()
    expect(readdirSync(folder)).toContain('cache.redb')
    for (const file of readdirSync(folder)) {
      const bytes = readFileSync(join(folder, file))
      for (const secret of [key, tenant]) expect(bytes.includes(secret)).toBe(false)
    }
  })

  test('is not printed by anything on the way', async () => {
    const written: string[] = []
    const spies = [process.stdout, process.stderr].map((stream) =>
      vi.spyOn(stream, 'write').mockImplementation((text) => written.push(String(text)) > 0),
    )
    try {
      const router = new CompletionRouter({ retry: { maxRetries: 0 } })
        .addProvider(provider())
        .deploy('default', 'local::m')
      server.answer = status(500, key)
      await caught(router.invoke('default', { message: 'Hi' }))
    } finally {
      for (const spy of spies) spy.mockRestore()
    }
    expect(written.join('')).not.toContain(key)
  })
})

describe('a key in what a provider in JavaScript says', () => {
  const url = `https://generativelanguage.example/v1?key=hunterhunter&sig=${tenant}`
  const said = `Incorrect API key provided: ${key} at ${url}`
  const refuse = (more: object) => (): Promise<never> => Promise.reject(Object.assign(new Error(said), more))
  const providers: Record<string, CustomProvider['complete']> = {
    'an error': refuse({}),
    'an error with a status': refuse({ status: 401 }),
    'an error with a status that rests': refuse({ status: 429, retryAfterMs: 1 }),
    'an error with a cause': refuse({ cause: new Error(said) }),
    'a text that is thrown': () => Promise.reject(said),
    'an object that is thrown': () => Promise.reject({ said, status: 500 }),
    'an answer that is none': () => Promise.resolve({ said } as never),
    'an answer of another kind': () => Promise.resolve([said] as never),
    'an answer that cannot be read': () =>
      Promise.resolve({ choices: [{ message: { content: { said } }, finish_reason: 'stop' }] } as never),
    'an answer that is an error': () => Promise.resolve({ error: { message: said } } as never),
    'an error in a stream': async function* () {
      yield 'Hel'
      throw new Error(said)
    } as never,
    'a piece that is an error': async function* () {
      yield { choices: [], error: { message: said } }
    } as never,
    'a piece that is none': async function* () {
      yield { said }
    } as never,
    'a piece that cannot be read': async function* () {
      yield { choices: [{ delta: { content: { said } } }] }
    } as never,
  }

  function expectHidden(value: unknown): void {
    expectNoSecret(value)
    expect(shown(value)).not.toContain('hunterhunter')
  }

  test.each(Object.keys(providers))('is not in the error of %s', async (name) => {
    const complete = providers[name] as NonNullable<CustomProvider['complete']>
    const router = new CompletionRouter({ retry: { maxRetries: 1, baseDelayMs: 0, cooldownMs: 1 } })
    router.addProvider({ name: 'mine', complete }).deploy('default', 'mine::m')
    const errors = [
      await caught(router.invoke('default', { message: 'Hi' })),
      await caught(collected(router.stream('default', { message: 'Hi' }))),
    ]
    // So that it is seen to be masked, and not merely lost.
    expect(shown(errors[0])).toContain('sk-***')
    for (const error of errors) {
      for (const value of [error, error['errors'], error['body'], error['attempts'], error.cause]) expectHidden(value)
      expect(error.message.length).toBeLessThan(1000)
    }
    for (const value of [router, router.stats()]) expectHidden(value)
  })

  test('is not in the trail of the answer that came after it', async () => {
    const router = new CompletionRouter({ retry: { baseDelayMs: 0, cooldownMs: 60_000 } })
    const bad = refuse({ status: 401 })
    for (const [name, complete] of Object.entries({ bad, good: async (): Promise<string> => 'Hello' }))
      router.addProvider({ name, complete }).deploy('default', `${name}::m`)
    router.configureGroup('default', { strategy: 'first-available' })
    const answer = await router.invoke('default', { message: 'Hi' })
    expect(answer.attempts[0]?.message).toContain('sk-***')
    expectHidden(answer)
    expect(router.stats().groups['default']?.deployments[0]?.restError).toContain('sk-***')
    expectHidden(router.stats())
  })

  test('is not in a message or a body that had to be cut', async () => {
    for (const code of [undefined, 500]) {
      for (const before of [450, 480, 490, 65_500, 131_050]) {
        const error = new Error(`${'x '.repeat(before / 2)}${key} ${'y '.repeat(100_000)}`)
        const router = new CompletionRouter({ retry: { maxRetries: 0 } })
        router.addProvider({ name: 'mine', complete: () => Promise.reject(Object.assign(error, { status: code })) })
        const failed = await caught(router.deploy('default', 'mine::m').invoke('default', { message: 'Hi' }))
        expect(failed.message.length).toBeLessThan(1000)
        expect((failed['body'] as string).length).toBeLessThanOrEqual(64 << 10)
        expect(shown(failed)).not.toContain(key.slice(3, 12))
      }
    }
  })
})

describe('over plain http', () => {
  test('a key stays here, and no request is made', async () => {
    for (const baseUrl of ['http://192.0.2.1/v1', 'http://api.example.com/v1', 'http://127.0.0.1.example.com']) {
      for (const more of [{}, { apiKey: '', headers: { 'api-key': key } }]) {
        const router = new CompletionRouter({ retry: { maxRetries: 0 } })
        router.addProvider(provider({ baseUrl, ...more })).deploy('default', 'local::m')
        const error = await caught(router.invoke('default', { message: 'Hi' }))
        expect(error.message).toMatch(/a key is not sent over plain http to http:\/\/.*allowInsecureHttp/)
        expect(error).toMatchObject({ name: 'ProviderError', retryable: false })
        expectNoSecret(error)
        expect(router.stats().groups['default']?.deployments[0]?.window).toEqual({ requests: 0, tokens: 0 })
      }
    }
  })

  test('a key goes to this machine under each of its names', async () => {
    for (const host of ['127.0.0.1', 'localhost']) {
      const router = new CompletionRouter({ retry: { maxRetries: 0 } })
      router.addProvider(provider({ baseUrl: `http://${host}:${server.port}/v1` })).deploy('default', 'local::m')
      await router.invoke('default', { message: host })
      expect(server.last.headers.authorization).toBe(`Bearer ${key}`)
    }
  })

  test('a key goes out on request', async () => {
    // Nobody answers at this port, which is reached: the refusal of before is gone.
    const router = new CompletionRouter({ retry: { maxRetries: 0 }, timeouts: { connectMs: 50 } })
    const baseUrl = 'http://0.0.0.0:1/v1'
    router.addProvider(provider({ baseUrl, allowInsecureHttp: true })).deploy('default', 'local::m')
    const error = await caught(router.invoke('default', { message: 'Hi' }))
    expect(error.message).not.toContain('plain http')
  })
})

describe('a redirect', () => {
  test.each([301, 302, 303, 307, 308])('of status %d is not followed', async (code) => {
    server.answer = status(code, '', { location: `${elsewhere.url}/chat/completions?token=${key}` })
    const router = new CompletionRouter({ retry: { maxRetries: 0 } })
    router.addProvider(provider()).deploy('default', 'local::m')
    const error = await caught(router.invoke('default', { message: 'Hi' }))
    expect(elsewhere.seen).toHaveLength(0)
    expect(elsewhere.connections).toBe(0)
    expect(error).toMatchObject({ name: 'ProviderError', status: code })
    expect(error.message).toContain(elsewhere.origin)
    expectNoSecret(error)
  })
})
