import { expect, test } from 'vitest'

import { run } from '../support/run'

test.each([false, true])(
  'a body that is dropped unread is cancelled, though its signal lives on (read: %s)',
  (isRead) => {
    const source = `
    import { setFlagsFromString } from 'node:v8'
    import { runInNewContext } from 'node:vm'
    import { getEventListeners } from 'node:events'
    import { CompletionRouter } from 'thryd'
    import { toFetch } from 'thryd/fetch'
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc')
    const turn = () => new Promise(setImmediate)
    let isStopped = false
    const mine = {
      name: 'mine',
      async *complete(request, { signal }) {
        signal.addEventListener('abort', () => { isStopped = true })
        yield 'one'
        await new Promise(() => {})
      },
    }
    const handler = toFetch({ completion: new CompletionRouter({ providers: [mine] }).deploy('default', 'mine::m') })
    const { signal } = new AbortController()
    const ask = async () => {
      const response = await handler('http://thryd.local/v1/chat/completions', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'default', messages: [{ role: 'user', content: 'hi' }], stream: true }),
        signal,
      })
      if (${isRead}) await response.body.getReader().read()
      return response.status
    }
    const status = await ask()
    while (!isStopped) { gc(); await turn() }
    console.log(JSON.stringify([status, isStopped]))`
    expect(run(source)).toEqual([200, true])
  },
)
