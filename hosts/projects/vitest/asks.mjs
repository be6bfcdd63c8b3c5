import { expect, inject, test, vi } from 'vitest'

import { claims } from './claims.cjs'

/** The tests of each file: most of the questions are those of the others too. */
export function asks(name) {
  test('everything works', async () => {
    await claims(await import('thryd'), await import('thryd/fetch'), await import('thryd/testing'))
  })

  test('answers are those of the one file', async () => {
    const { Cache, CompletionRouter } = await import('thryd')
    const cache = await Cache.open('cache.redb')
    const router = new CompletionRouter({ providers: [inject('provider')], cache }).deploy('default', 'faulty::ok')
    for (let number = 0; number < 50; number += 1) {
      const message = number % 5 === 0 ? `${name} ${number}` : `question ${number}`
      expect((await router.invoke('default', { message })).content).toBe(message)
      expect((await router.invoke('default', { message })).cache).not.toBe('miss')
    }
    await cache.flush()
    expect(cache.stats()).toMatchObject({ readErrors: 0, writeErrors: 0 })
  })

  test('a module registry that is reset gives a package that works', async () => {
    vi.resetModules()
    const { CompletionRouter } = await import('thryd')
    const router = new CompletionRouter({ providers: [{ type: 'dummy' }] }).deploy('default', 'dummy::echo')
    expect((await router.invoke('default', { message: 'Hello' })).content).toBe('Hello')
  })
}
