/** Proxies, as the environment names them: docs/proxies.md, over real sockets. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Authority } from './support/authority.js'
import { KEY, type Question, outcome, outcomes } from './support/outside.js'
import { Proxy, type ProxyOptions } from './support/proxy.js'
import { TestServer } from './support/server.js'

const HTTPS = 'https://api.example.invalid/v1'
const HTTP = 'http://api.example.invalid/v1'

/** For those that ask the system for a name which nobody has: how soon it says so is its own affair. */
const UNKNOWN = { connectMs: 40_000 }
const SLOW = { timeout: 90_000 }

const authority = new Authority()
const behind = authority.identity('api.example.invalid', '*.example.invalid')
let server: TestServer
const open: Proxy[] = []

beforeAll(async () => {
  server = await TestServer.start()
})

afterAll(async () => {
  for (const one of open) one.close()
  await server.close()
})

async function proxy(options: Partial<ProxyOptions> = {}, kind: 'http' | 'socks' = 'http'): Promise<Proxy> {
  const started = await Proxy[kind]({ upstream: server.port, behind, ...options })
  open.push(started)
  return started
}

/** One question, with the company's authority trusted. */
async function ask(env: Record<string, string>, url = HTTPS, more: Partial<Question> = {}): Promise<unknown> {
  return await outcome(url, { NODE_EXTRA_CA_CERTS: authority.file, ...env }, more)
}

describe.concurrent('a proxy', () => {
  test.each(['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy'])('that %s names tunnels https', async (name) => {
    const { port, asked } = await proxy()
    expect(await ask({ [name]: `http://127.0.0.1:${port}` })).toBe('Hi')
    expect(asked).toEqual(['CONNECT api.example.invalid:443'])
  })

  test('may be named without a scheme, and by the program before it asks', async () => {
    const { port, asked } = await proxy()
    const first = `process.env.HTTPS_PROXY = '127.0.0.1:${port}';`
    expect(await ask({}, HTTPS, { first })).toBe('Hi')
    expect(asked).toHaveLength(1)
  })

  test(
    'may be named in a file that Node reads, and in a worker only where it shares its environment',
    SLOW,
    async () => {
      const { port, asked } = await proxy()
      const file = join(authority.folder, 'proxy.env')
      writeFileSync(file, `HTTPS_PROXY=http://127.0.0.1:${port}\n`)
      expect(await ask({}, HTTPS, { flags: [`--env-file=${file}`] })).toBe('Hi')
      const first = `process.env.HTTPS_PROXY = 'http://127.0.0.1:${port}';`
      expect(await ask({}, HTTPS, { first, worker: '{ env: SHARE_ENV }' })).toBe('Hi')
      expect(await ask({}, HTTPS, { first, worker: '{}', ...UNKNOWN })).toMatchObject({
        message: expect.stringContaining('cannot be resolved'),
      })
      expect(asked).toHaveLength(2)
    },
  )

  test.each(['HTTP_PROXY', 'http_proxy'])(
    'that %s names is asked for plain http, and for nothing else',
    SLOW,
    async (name) => {
      const { port, asked } = await proxy()
      const env = { NODE_EXTRA_CA_CERTS: authority.file, [name]: `http://127.0.0.1:${port}` }
      const [plain, tls] = await outcomes({ urls: [HTTP, HTTPS], env, ...UNKNOWN })
      expect(plain).toBe('Hi')
      expect(tls).toMatchObject({ message: expect.stringContaining('cannot be resolved') })
      expect(asked).toEqual([`POST ${HTTP}/chat/completions`])
    },
  )

  test('is not asked for this machine, nor for what NO_PROXY names', SLOW, async () => {
    const { port, asked } = await proxy()
    const env = { ALL_PROXY: `http://127.0.0.1:${port}`, NODE_EXTRA_CA_CERTS: authority.file }
    expect(await ask({ ...env }, server.url)).toBe('Hi')
    for (const no_proxy of ['example.invalid', '.example.invalid', 'other.test, api.example.invalid', '*']) {
      expect({ no_proxy, ...Object(await ask({ ...env, no_proxy }, HTTPS, UNKNOWN)) }).toMatchObject({
        message: expect.stringContaining('the name of https://api.example.invalid cannot be resolved'),
      })
    }
    expect(asked).toEqual([])
    expect(await ask({ ...env, NO_PROXY: 'other.test,10.0.0.0/8' })).toBe('Hi')
    expect(asked).toHaveLength(1)
  })

  test('is given the user and the password of its URL, decoded, and they go no further', async () => {
    const { port, asked } = await proxy({ credentials: 'me@corp:p@ss/w:rd' })
    const env = { ALL_PROXY: `http://me%40corp:p%40ss%2Fw%3Ard@127.0.0.1:${port}`, NODE_EXTRA_CA_CERTS: authority.file }
    server.seen.length = 0
    expect(await outcomes({ urls: [HTTPS, HTTP], env })).toEqual(['Hi', 'Hi'])
    expect(asked).toEqual(['CONNECT api.example.invalid:443', `POST ${HTTP}/chat/completions`])
    expect(server.seen.filter(({ headers }) => 'proxy-authorization' in headers)).toEqual([])
  })

  test('over TLS has to show a certificate that is trusted', async () => {
    const { port } = await proxy({ itself: authority.identity('localhost') })
    const env = { HTTPS_PROXY: `https://localhost:${port}` }
    expect(await ask(env)).toBe('Hi')
    expect(await ask({ ...env, NODE_EXTRA_CA_CERTS: '' })).toMatchObject({
      message: expect.stringMatching(
        /the certificate of the proxy https:\/\/localhost:\d+ \(HTTPS_PROXY\) is not trusted .*NODE_EXTRA_CA_CERTS/,
      ),
    })
  })

  test('may speak SOCKS, and is told the name', async () => {
    const { port, asked } = await proxy({}, 'socks')
    expect(await ask({ ALL_PROXY: `socks5h://127.0.0.1:${port}` })).toBe('Hi')
    expect(asked).toEqual(['SOCKS api.example.invalid:443'])
  })

  test('that speaks SOCKS is told an address, where the name is to be resolved here', SLOW, async () => {
    const { port, asked } = await proxy({}, 'socks')
    expect(await ask({ ALL_PROXY: `socks5://127.0.0.1:${port}` }, HTTPS, UNKNOWN)).toMatchObject({
      message: expect.stringContaining(`the proxy socks5://127.0.0.1:${port} (ALL_PROXY)`),
    })
    expect(asked).toEqual([])
  })
})

describe.concurrent('a proxy that is no help', () => {
  const wrong = ['no credentials', 'wrong credentials'] as const

  test.each(wrong)('asks for a user and a password, and is given %s', async (given) => {
    const { port } = await proxy({ credentials: 'me:right-password' })
    const user = given === 'no credentials' ? '' : 'me:wrong-password@'
    const env = { ALL_PROXY: `http://${user}127.0.0.1:${port}`, NODE_EXTRA_CA_CERTS: authority.file }
    for (const [place, failed] of (await outcomes({ urls: [HTTPS, HTTP], env })).entries()) {
      const words = user === '' ? 'asks for a user name and a password' : 'does not accept its user name and password'
      const message = `the proxy http://127.0.0.1:${port} (ALL_PROXY) ${words} for a connection to ${[HTTPS, HTTP][place]?.slice(0, -3)}`
      expect(failed).toMatchObject({ message: expect.stringContaining(message) })
      expect(failed).toMatchObject({ message: expect.stringMatching(/ALL_PROXY(, where| to http:\/\/user:password@)/) })
    }
  })

  test('refuses the host', async () => {
    const { port } = await proxy({ refusal: 403 })
    const message = `the proxy http://127.0.0.1:${port} (https_proxy) does not connect to https://api.example.invalid (tunnel error: unsuccessful): it has to allow that host, or NO_PROXY`
    expect(await ask({ https_proxy: `http://127.0.0.1:${port}` })).toMatchObject({
      message: expect.stringContaining(message),
    })
  })

  // Nobody listens on port 1, and the system gives it to nobody.
  test.each([HTTPS, HTTP])('cannot be reached, on the way to %s', async (url) => {
    const failed = await ask({ ALL_PROXY: 'http://me:secret-word@127.0.0.1:1' }, url)
    const origin = url.slice(0, -3)
    expect(failed).toMatchObject({
      message: expect.stringMatching(
        new RegExp(`connection refused by the proxy http://127.0.0.1:1 \\(ALL_PROXY\\), on the way to ${origin}`),
      ),
    })
  })

  test('speaks SOCKS and cannot be reached', async () => {
    expect(await ask({ ALL_PROXY: 'socks5h://127.0.0.1:1' })).toMatchObject({
      message: expect.stringContaining(
        'no connection to the proxy socks5h://127.0.0.1:1 (ALL_PROXY), on the way to https://api',
      ),
    })
  })

  test('has a name that nobody knows', SLOW, async () => {
    expect(await ask({ HTTPS_PROXY: 'http://me:secret-word@proxy.invalid:3128' }, HTTPS, UNKNOWN)).toMatchObject({
      message: expect.stringContaining(
        'the name of the proxy http://proxy.invalid:3128 (HTTPS_PROXY) cannot be resolved, on the way to https://api.example.invalid',
      ),
    })
  })

  test('is silent', async () => {
    const { port } = await proxy({ isSilent: true })
    expect(await ask({ ALL_PROXY: `http://127.0.0.1:${port}` }, HTTPS, { connectMs: 300 })).toMatchObject({
      code: 'ERR_TIMEOUT',
      message: expect.stringContaining(
        `no connection after 300 ms from p::m, through the proxy http://127.0.0.1:${port} (ALL_PROXY)`,
      ),
    })
  })

  test.each(['http://me:secret@word@127.0.0.1:1', 'ftp://me:secret@word:1', 'me:secret word@host'])(
    'is not one: %s',
    async (value) => {
      expect(await ask({ HTTPS_PROXY: value })).toMatchObject({
        message: expect.stringContaining('HTTPS_PROXY: expected the URL of a proxy, http://host:port'),
      })
    },
  )

  test('shows neither its password nor the key in any error', async () => {
    const { port } = await proxy({ credentials: 'me:right-password', refusal: 0 })
    const urls = [
      `http://me:secret-word@127.0.0.1:${port}`,
      'http://me:secret-word@proxy.invalid:1',
      'me:secret-word@@x',
    ]
    const shown = JSON.stringify(await Promise.all(urls.map(async (url) => await ask({ ALL_PROXY: url }))))
    expect(shown).not.toMatch(/secret-word|bWU6c2Vj/)
    expect(shown).not.toContain(KEY)
  })
})
