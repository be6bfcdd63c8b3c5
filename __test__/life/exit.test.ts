import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { busy, lost, served } from '../support/busy'
import { Files } from '../support/files'
import { printed, run, start } from '../support/script'
import { TestServer, echo } from '../support/server'

let server: TestServer
const files = new Files('exit')

beforeAll(async () => {
  server = await TestServer.start(served)
})
afterAll(() => server.close())

/** A busy program that has some answers, and writes which when it ends. */
const inTheMiddle = `
  import { writeSync } from 'node:fs'
  import * as thryd from 'thryd'
  const [, baseUrl, path] = process.argv
  ${busy}
  const { router, answered, enough } = busy(thryd, baseUrl, path, 'q')
  process.on('exit', () => writeSync(1, JSON.stringify(answered)))
  await enough
`

describe('in the middle of everything', () => {
  const ways: [string, string, number][] = [
    ['process.exit()', 'process.exit(7)', 7],
    ['an error that nobody catches', "setImmediate(() => { throw new Error('mine') }); await new Promise(() => {})", 1],
    ['a rejection that nobody handles', "Promise.reject(new Error('mine')); await new Promise(() => {})", 1],
    ['exit() once more, from an exit listener', "process.on('exit', () => process.exit(9)); process.exit(7)", 9],
    [
      'exit() with a listener that goes on using the router',
      `process.on('exit', () => {
         router.invoke('default', { message: 'late' }).catch(() => undefined)
         router.stream('default', { message: 'late' })[Symbol.asyncIterator]().next().catch(() => undefined)
         router.invoke('mine', { message: 'late' }).catch(() => undefined)
         router.cache?.flush().catch(() => undefined)
         router.close().catch(() => undefined)
         if (router.stats().inFlight === 0 || thryd.countTokens('Hi', 'r50k_base') !== 1) process.exitCode = 50
       })
       process.exit(7)`,
      7,
    ],
  ]

  test.each(ways)('%s ends as without thryd, and what was answered is kept', async (_name, end, code) => {
    const path = files.fresh()
    const ended = await run(`${inTheMiddle}${end}`, server.url, path)
    expect(ended).toMatchObject({ code, signal: null })
    expect(ended.stderr).toMatch(code === 1 ? /Error: mine/ : /^$/)
    const answered = JSON.parse(ended.stdout) as string[]
    expect(answered.length).toBeGreaterThanOrEqual(5)
    expect(await lost(path, answered)).toEqual([])
  })

  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s ends it as it ends any process, and what was flushed is kept',
    async (signal) => {
      const path = files.fresh()
      const script = start(
        `${inTheMiddle}
          const flushed = [...answered]
          await router.cache.flush()
          writeSync(1, JSON.stringify(flushed) + 'done')`,
        server.url,
        path,
      )
      await script.said('done')
      script.process.kill(signal)
      const ended = await script.ended
      expect(ended).toMatchObject({ code: null, signal, stderr: '' })
      expect(await lost(path, JSON.parse(ended.stdout.replace('done', '')) as string[])).toEqual([])
    },
  )
})

describe('process.exit() from within', () => {
  const begin = `
    import { CompletionRouter } from 'thryd'
    const [, baseUrl] = process.argv
    const router = new CompletionRouter({ providers: [{ type: 'openai-compatible', name: 'local', baseUrl }] })
    router.deploy('default', 'local::m')
  `
  const mine = (complete: string) => `
    router.addProvider({ name: 'mine', ${complete} }).deploy('mine', 'mine::m')
    await router.invoke('mine', { message: 'Hi' })`
  const places: [string, string][] = [
    [
      'an abort listener',
      `const controller = new AbortController()
       const call = router.invoke('default', { message: 'hang' }, { signal: controller.signal })
       controller.signal.addEventListener('abort', () => process.exit(7))
       setTimeout(() => controller.abort(), 20)
       await call`,
    ],
    [
      'the loop over a stream',
      `for await (const _ of router.stream('default', { message: 'one two three' })) process.exit(7)`,
    ],
    [
      'the loop over a batch',
      `for await (const _ of router.invokeMany('default', [{ message: 'a' }, { message: 'hang' }])) process.exit(7)`,
    ],
    [
      'onProgress',
      `for await (const _ of router.invokeMany('default', [{ message: 'a' }, { message: 'b' }], {
         onProgress: () => process.exit(7),
       })) break`,
    ],
    ['a custom provider', mine('complete: () => process.exit(7)')],
    ['a custom provider that yields', mine("async *complete() { yield 'one '; process.exit(7) }")],
    ['the continuation of an answer', `await router.invoke('default', { message: 'Hi' }).then(() => process.exit(7))`],
  ]

  test.concurrent.each(places)('%s ends the process with its code', async (_name, source) => {
    expect(await run(`${begin}${source}`, server.url)).toMatchObject({ code: 7, signal: null, stderr: '' })
  })
})

// On Windows nobody is asked.
test.skipIf(process.platform === 'win32')(
  'a handler of SIGTERM that closes the router ends the process by itself when its calls are answered',
  async () => {
    const slow = await TestServer.start(async (seen, response) => {
      await new Promise((resolve) => setTimeout(resolve, 200))
      await echo(seen, response)
    })
    const path = files.fresh()
    const source = `
    import { CompletionRouter } from 'thryd'
    const [, baseUrl, cache] = process.argv
    const router = new CompletionRouter({ cache, providers: [{ type: 'openai-compatible', name: 'local', baseUrl }] })
    router.deploy('default', 'local::m')
    const server = setInterval(() => {}, 1000)
    process.once('SIGTERM', async () => {
      await router.close()
      clearInterval(server)
    })
    router.invoke('default', { message: 'in flight' }).then((answer) => console.log(JSON.stringify(answer.content)))
    process.kill(process.pid, 'SIGTERM')`
    expect(await printed(source, slow.url, path)).toBe('in flight')
    expect(await lost(path, ['in flight'])).toEqual([])
    await slow.close()
  },
)
