import { afterAll, afterEach, expect, test } from 'vitest'

import { CompletionRouter, type RouterOptions } from '..'
import { FaultServer } from '../js/testing'
import { expectClosed } from './support/tries'

const server = await FaultServer.start()

afterEach(() => server.reset())
afterAll(() => server.close())

/** Two deployments, the first of which has answered often enough to be judged. */
async function warmed(retry: RouterOptions['retry'] = {}): Promise<CompletionRouter> {
  const router = new CompletionRouter({
    providers: [server.provider('p')],
    groups: { default: { strategy: 'first-available', deployments: ['p::first', 'p::second'] } },
    retry: { hedgeQuantile: 0.9, ...retry },
  })
  for (let call = 0; call < 10; call++) await router.invoke('default', { message: `warm ${call}` }, { hedge: false })
  return router
}

test('a silent deployment is left for another within moments, and its socket is closed', async () => {
  await expectClosed(async () => {
    server.reset()
    const router = await warmed()
    server.script('first', 'hang')
    const answer = await router.invoke('default', { message: 'hi' })
    const answeredAtMs = performance.now()
    expect(answer.attempts.map(({ deployment, outcome }) => [deployment, outcome])).toEqual([
      ['p::first', 'cancelled'],
      ['p::second', 'ok'],
    ])
    const left = server.requests.findLast(({ model }) => model === 'first')!
    await server.waitFor(() => left.endedAtMs !== undefined)
    expect(left.endedBy).toBe('client')
    expect(router.stats().groups['default']!.deployments.map(({ inFlight }) => inFlight)).toEqual([0, 0])
    return left.endedAtMs! - answeredAtMs
  })
})

test('a stream shows one answer, whichever is faster', async () => {
  const router = await warmed()
  server.script('first', { latencyMs: 1000, content: 'never seen' })
  server.script('second', { latencyMs: 5, content: 'one two three', tokenIntervalMs: 5 })
  const stream = router.stream('default', { message: 'hi' })
  let text = ''
  for await (const chunk of stream) if (chunk.type === 'content') text += chunk.delta
  expect(text).toBe('one two three')
  expect((await stream.completion()).attempts.map(({ outcome }) => outcome)).toEqual(['cancelled', 'ok'])
})

test('hedge: false sends one request, however late it is', async () => {
  const router = await warmed()
  server.script('first', { latencyMs: 200 })
  const answer = await router.invoke('default', { message: 'hi' }, { hedge: false })
  expect(answer.attempts.map(({ outcome }) => outcome)).toEqual(['ok'])
  expect(server.requests.filter(({ model }) => model === 'second')).toEqual([])
})

test('leaving a hedged call closes both sockets', async () => {
  const router = await warmed()
  server.script('first', 'hang').script('second', 'hang')
  const controller = new AbortController()
  const call = router.invoke('default', { message: 'hi' }, { signal: controller.signal })
  await server.waitFor(() => server.requests.some(({ model }) => model === 'second'))
  const reason = new Error('enough')
  controller.abort(reason)
  await expect(call).rejects.toBe(reason)
  await server.waitFor(() => server.counts.open === 0)
  expect(server.requests.slice(-2).map(({ endedBy }) => endedBy)).toEqual(['client', 'client'])
})

test('hedge that is no boolean is named', async () => {
  const router = await warmed()
  const call = router.invoke('default', { message: 'hi' }, { hedge: 'no' as unknown as boolean })
  await expect(call).rejects.toThrow(/hedge: expected true or false, got "no"/)
})
