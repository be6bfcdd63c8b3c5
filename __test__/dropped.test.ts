import { describe, expect, test } from 'vitest'

import { run } from './support/run'

/** A module in which `stream` comes from a provider that waits after its first piece, until its signal fires. */
const source = (use: string): string => `
  import { setFlagsFromString } from 'node:v8'
  import { runInNewContext } from 'node:vm'
  import { CompletionRouter } from 'thryd'
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc')
  const turn = () => new Promise(setImmediate)
  let isStopped = false
  let goOn
  const gate = new Promise((resolve) => { goOn = resolve })
  const mine = {
    name: 'mine',
    async *complete(request, { signal }) {
      signal.addEventListener('abort', () => { isStopped = true })
      yield 'one'
      await gate
      yield 'two'
      await new Promise(() => {})
    },
  }
  const router = new CompletionRouter({ providers: [mine] })
  router.deploy('default', 'mine::model', { maxConcurrent: 1 })
  const controller = new AbortController()
  const first = (options) => router.stream('default', { message: 'Hi' }, options)[Symbol.asyncIterator]().next()
  ${use}`

describe('a batch whose reader is dropped', () => {
  test('is cancelled, reads no more requests, and leaves no listener', () => {
    const use = `
      const { getEventListeners } = await import('node:events')
      let [read, isClosed] = [0, false]
      function* requests() {
        try { for (;;) { read += 1; yield { message: String(read) } } } finally { isClosed = true }
      }
      const { signal } = controller
      router.addProvider({ name: 'quick', complete: async () => 'done' }).deploy('quick', 'quick::model')
      const one = async () => {
        const results = router.invokeMany('quick', requests(), { concurrency: 2, signal })[Symbol.asyncIterator]()
        const { value } = await results.next()
        return [String(value), getEventListeners(signal, 'abort').length]
      }
      const before = await one()
      while (!isClosed) { gc(); await turn() }
      console.log(JSON.stringify([...before, getEventListeners(signal, 'abort').length, read < 100]))`
    expect(run(source(use))).toEqual(['done', 1, 0, true])
  })
})

describe('a stream whose reader is dropped', () => {
  test.each(['{}', '{ signal: controller.signal }'])('is cancelled, and its slot is free (options %s)', (options) => {
    const use = `
      const { value } = await first(${options})
      while (!isStopped) { gc(); await turn() }
      const next = await first()
      console.log(JSON.stringify([value.delta, next.value.delta]))`
    expect(run(source(use))).toEqual(['one', 'one'])
  })

  test('says so to whoever waits for the whole', () => {
    const use = `
      const stream = router.stream('default', { message: 'Hi' })
      await stream[Symbol.asyncIterator]().next()
      const whole = stream.completion().catch(({ name }) => name)
      while (!isStopped) { gc(); await turn() }
      console.log(JSON.stringify(await whole), stream ? '' : '')`
    expect(run(source(use))).toBe('AbortError')
  })

  test('goes on as long as somebody waits for its next piece', () => {
    const use = `
      const second = async () => {
        const iterator = router.stream('default', { message: 'Hi' })[Symbol.asyncIterator]()
        await iterator.next()
        return () => iterator.next()
      }
      const next = (await second())()
      for (let turns = 0; turns < 50; turns += 1) { gc(); await turn() }
      goOn()
      const { value } = await next
      console.log(JSON.stringify([value.delta, isStopped]))`
    expect(run(source(use))).toEqual(['two', false])
  })
})
