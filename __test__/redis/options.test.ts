import { inspect } from 'node:util'

import { describe, expect, test } from 'vitest'

import { CompletionRouter, type RouterOptions } from '../..'
import { thrownBy } from '../support/caught'

const made = (redis: unknown) => new CompletionRouter({ limits: { redis } } as RouterOptions)

describe('limits over Redis', () => {
  test.each([
    ['http://me:hunter2@host', /limits\.redis: expected a redis:\/\/ or rediss:\/\/ URL.*got "http:\/\/host"/],
    ['', /limits\.redis: expected .*got ""/],
    ['redis://me:hunter2@host/nowhere', /limits\.redis: expected the number of a database/],
    ['redis+sentinel://me:hunter2@host', /limits\.redis: expected the name of the master/],
    ['redis://me:hunter2', /limits\.redis: expected host\[:port\].*got "redis:\/\/…"/],
    ['redis://host#hunter2', /limits\.redis: expected nothing after a #/],
    ['redis://me:1?a=hunter2@host', /limits\.redis: expected parameters without an @.*got "redis:\/\/…"/],
    ['redis://host?password=hunter2', /limits\.redis: expected no parameters but db, /],
    [5, /limits\.redis: expected a redis:\/\/ URL, or an object with one, got 5/],
    [{}, /limits\.redis\.url: expected a string, got nothing/],
    [{ url: 'host' }, /limits\.redis\.url: expected /],
    [{ url: 'redis://host', prefix: '{a}' }, /limits\.redis\.prefix: expected .*without braces/],
    [{ url: 'redis://host', timeoutMs: '5' }, /limits\.redis\.timeoutMs: expected /],
    [{ url: 'redis://host', lease: 5 }, /limits\.redis\.lease: expected .*url, prefix, timeoutMs, leaseMs, processes/],
  ])('at %j are refused by field, and without a password', (redis, message) => {
    const error = thrownBy(() => made(redis))
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toMatch(message)
    expect(error.message).not.toContain('hunter2')
  })

  test.each([
    ['timeoutMs', 0],
    ['leaseMs', 999],
    ['processes', 0],
  ])('with a %s of %d are out of range', (field, value) => {
    const error = thrownBy(() => made({ url: 'redis://host', [field]: value }))
    expect(error).toBeInstanceOf(RangeError)
    expect(error.message).toMatch(new RegExp(`limits\\.redis\\.${field}: expected `))
  })

  test('open nothing before they are needed, and say where they are without a password', () => {
    const router = made('rediss://me:hunter2@host/3')
    const { redis } = router.stats().limits ?? {}
    expect(redis).toEqual({ url: 'rediss://host:6379/3', status: 'idle', forMs: 0, processes: 1 })
    expect(JSON.stringify(router.stats()) + inspect(router, { depth: 9 })).not.toContain('hunter2')
  })

  test('that nobody asked for are not in the statistics', () => {
    expect(new CompletionRouter().stats()).not.toHaveProperty('limits')
  })

  test('at a host that is not there cost a share of the limit, and no call', async () => {
    const router = new CompletionRouter({
      limits: { redis: { url: 'redis://127.0.0.1:1', processes: 4 } },
      providers: [{ type: 'dummy' }],
      groups: { g: { deployments: [{ model: 'dummy::m', rpm: 8 }] } },
    })
    const ask = () =>
      router.invoke('g', { message: 'Hi' }, { queueMs: 0 }).then(
        () => 1,
        () => 0,
      )
    let answered: number = 0
    for (let call = 0; call < 8; call += 1) answered += await ask()
    expect(answered).toBe(2)
    const { redis } = router.stats().limits ?? {}
    expect(redis).toMatchObject({ status: 'local', processes: 4 })
    expect(redis?.error).toContain('127.0.0.1:1')
  })
})
