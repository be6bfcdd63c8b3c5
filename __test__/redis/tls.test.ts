import { fork } from 'node:child_process'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { RedisLimitsStats } from '../..'
import { Authority } from '../support/authority'
import { Proxy } from '../support/proxy'
import { Redis, hasRedis } from '../support/redis'

describe.skipIf(!hasRedis)('a Redis over TLS', () => {
  const authority = new Authority()
  let redis: Redis
  let tls: Proxy
  let byAddress: Proxy

  beforeAll(async () => {
    redis = await Redis.start()
    tls = await Proxy.tls(redis.port, authority.identity('localhost'))
    byAddress = await Proxy.tls(redis.port, authority.identity('127.0.0.1'))
  })
  afterAll(() => {
    tls.close()
    byAddress.close()
    redis.stop()
  })

  /** How a process of its own finds it. */
  async function found(url: string, env: Record<string, string>): Promise<RedisLimitsStats> {
    // With more patience than the default, for machines that are busy with tests.
    const options = JSON.stringify({ url, timeoutMs: 3000, deploy: { limits: { rpm: 10 } } })
    const child = fork(join(import.meta.dirname, 'process.mjs'), [options], { env: { ...process.env, ...env } })
    const ended = new Promise<never>((_resolve, reject) => {
      child.once('exit', (code, signal) => reject(new Error(`the process has ended: ${code ?? signal}`)))
    })
    // It is ended here, too, when nobody waits for it any more.
    ended.catch(() => {})
    const said = () => Promise.race([ended, new Promise((resolve) => child.once('message', resolve))])
    try {
      await said()
      const answer = said()
      child.send({ calls: 1, queueMs: 5000 })
      const { answered, redis: stats } = (await answer) as { answered: number; redis: RedisLimitsStats }
      expect(answered).toBe(1)
      return stats
    } finally {
      child.kill()
    }
  }

  test('is trusted as providers are', async () => {
    const stats = await found(`rediss://localhost:${tls.port}`, { NODE_EXTRA_CA_CERTS: authority.file })
    expect(stats).toMatchObject({ status: 'connected', url: `rediss://localhost:${tls.port}` })
  })

  test('is trusted by its address too, if the certificate is for it', async () => {
    const stats = await found(`rediss://127.0.0.1:${byAddress.port}`, { NODE_EXTRA_CA_CERTS: authority.file })
    expect(stats).toMatchObject({ status: 'connected' })
  })

  test('is not used if nobody vouches for it, or under another name', async () => {
    const unknown = await found(`rediss://localhost:${tls.port}`, {})
    expect(unknown).toMatchObject({ status: 'local', error: expect.stringMatching(/certificate/i) as string })
    const other = await found(`rediss://127.0.0.1:${tls.port}`, { NODE_EXTRA_CA_CERTS: authority.file })
    expect(other).toMatchObject({ status: 'local', error: expect.stringMatching(/certificate/i) as string })
  })
})
