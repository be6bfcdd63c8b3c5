// A provider written in JavaScript: a promise, a stream, and failures that are routed like those of an HTTP endpoint.

import { setTimeout as sleep } from 'node:timers/promises'

import { CompletionRouter } from 'thryd'

const poet = {
  name: 'poet',
  // An async generator: streamed to whoever streams, put together for whoever does not.
  async *complete(request, { signal }) {
    const subject = request.messages.at(-1).content
    for (const line of [`An ode to ${subject},\n`, 'in which it does not rain.\n']) {
      await sleep(20, undefined, { signal })
      yield line
    }
  },
}

const flaky = {
  name: 'flaky',
  async complete() {
    // Classified as an HTTP answer of this status would be.
    throw Object.assign(new Error('out of ink'), { status: 503 })
  },
}

const router = new CompletionRouter({ providers: [poet, flaky], retry: { baseDelayMs: 10 } })
router.deploy('verse', 'flaky::haiku', { weight: 1 })
router.deploy('verse', 'poet::ode', { weight: 1 })
router.configureGroup('verse', { strategy: 'first-available' })

const answer = await router.invoke('verse', { message: 'software' })
process.stdout.write(answer.content)
console.log(answer.attempts.map(({ deployment, outcome }) => `${deployment}: ${outcome}`).join(', '))

for await (const chunk of router.stream('verse', { message: 'streams' })) {
  if (chunk.type === 'content') process.stdout.write(chunk.delta)
}
