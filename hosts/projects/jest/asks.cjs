'use strict'

const { claims } = require('./claims.cjs')

/** The tests of each file. */
exports.asks = (name) => {
  test('everything works', () => claims(require('thryd'), require('thryd/fetch'), require('thryd/testing')))

  test('a module registry that is reset gives a package that works, and so does the one before it', async () => {
    const load = async () => {
      const { Cache, CompletionRouter } = require('thryd')
      const cache = await Cache.open('cache.redb')
      return new CompletionRouter({ providers: [{ type: 'dummy', dummy: { cache: true } }], cache }).deploy(
        'default',
        'dummy::echo',
      )
    }
    const routers = [await load()]
    for (let round = 0; round < 10; round += 1) {
      jest.resetModules()
      routers.push(await load())
      const message = `${name} ${round}`
      for (const [place, router] of routers.entries()) {
        const { content, cache } = await router.invoke('default', { message })
        expect(content).toBe(message)
        if (place > 0) expect(cache).not.toBe('miss')
      }
    }
  })

  test('errors are told apart by their classes', async () => {
    const { CompletionRouter, ProviderError } = require('thryd')
    const { FaultServer } = require('thryd/testing')
    const server = await FaultServer.start()
    const router = new CompletionRouter({ providers: [server.provider('faulty')] }).deploy(
      'default',
      'faulty::status-400',
    )
    await expect(router.invoke('default', { message: 'Hello' })).rejects.toBeInstanceOf(ProviderError)
    await expect(router.invoke('default', {})).rejects.toThrow(TypeError)
    await server.close()
  })
}
