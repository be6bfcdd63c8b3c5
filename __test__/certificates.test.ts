/** Whom thryd trusts: docs/proxies.md, over real sockets. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Authority } from './support/authority.js'
import { outcome } from './support/outside.js'
import { Proxy } from './support/proxy.js'
import { TestServer } from './support/server.js'

const authority = new Authority()
let server: TestServer
let tls: Proxy
let url: string

beforeAll(async () => {
  server = await TestServer.start()
  tls = await Proxy.tls(server.port, authority.identity('localhost'))
  url = `https://localhost:${tls.port}/v1`
})

afterAll(async () => {
  tls.close()
  await server.close()
})

const message = (...words: string[]): object => ({
  message: expect.stringMatching(new RegExp(words.map((word) => word.replace(/[.()]/g, '\\$&')).join('.*'))),
})

describe.concurrent('the certificate of an unknown authority', () => {
  test('is not trusted, and the error says how it would be', async () => {
    const expected = message(`the certificate of https://localhost:${tls.port} is not trusted`, 'NODE_EXTRA_CA_CERTS')
    expect(await outcome(url, {})).toMatchObject(expected)
    // Node's way of not asking is not thryd's.
    expect(await outcome(url, { NODE_TLS_REJECT_UNAUTHORIZED: '0' })).toMatchObject(expected)
  })

  test('is trusted when NODE_EXTRA_CA_CERTS names it, from outside or before the first request', async () => {
    expect(await outcome(url, { NODE_EXTRA_CA_CERTS: authority.file })).toBe('Hi')
    const first = `process.env.NODE_EXTRA_CA_CERTS = ${JSON.stringify(authority.file)};`
    expect(await outcome(url, {}, { first })).toBe('Hi')
  })

  test.runIf(process.platform === 'linux').each(['SSL_CERT_FILE', 'SSL_CERT_DIR'])(
    'is trusted when %s names it',
    async (name) => {
      const value = name === 'SSL_CERT_FILE' ? authority.file : authority.folder
      expect(await outcome(url, { [name]: value })).toBe('Hi')
    },
  )

  test('is for its own names only', async () => {
    const env = { NODE_EXTRA_CA_CERTS: authority.file }
    expect(await outcome(url.replace('localhost', '127.0.0.1'), env)).toMatchObject(
      message(`the certificate of https://127.0.0.1:${tls.port} is not trusted`, 'NotValidForName|not valid for name'),
    )
  })
})

describe.concurrent('a file of authorities that cannot be used', () => {
  test('is named with its variable', async () => {
    expect(await outcome(url, { NODE_EXTRA_CA_CERTS: '/nowhere/company.pem' })).toMatchObject(
      message('NODE_EXTRA_CA_CERTS: expected a PEM file of certificates at /nowhere/company.pem'),
    )
    const empty = join(authority.folder, 'empty.txt')
    writeFileSync(empty, 'no certificate')
    expect(await outcome(url, { NODE_EXTRA_CA_CERTS: empty })).toMatchObject(
      message('NODE_EXTRA_CA_CERTS', empty, 'it holds none'),
    )
  })

  test.runIf(process.platform === 'linux')(
    'is named with SSL_CERT_FILE, and plain http works all the same',
    async () => {
      const env = { SSL_CERT_FILE: '/nowhere/ca.pem' }
      expect(await outcome(url, env)).toMatchObject(message('SSL_CERT_FILE names /nowhere/ca.pem'))
      expect(await outcome(server.url, env)).toBe('Hi')
      expect(await outcome(url, { ...env, NODE_EXTRA_CA_CERTS: authority.file })).toBe('Hi')
    },
  )
})

test('what speaks no TLS is told apart from what is not trusted', async () => {
  expect(await outcome(server.url.replace('http:', 'https:').replace('127.0.0.1', 'localhost'), {})).toMatchObject(
    message('no TLS with https://localhost'),
  )
})
