/** A program that is in the middle of everything: for ending it there. */

import { CompletionRouter } from '../..'
import { type Answer, beginEvents, echo, event, piece } from './server'

/**
 * A function for scripts and workers, as text: `busy(thryd, baseUrl, path, name)` calls, streams, reads a batch, counts, writes
 * a cache, and answers for providers of its own, all at once and without end. It gives the router, the questions whose answers
 * it has, and what settles when there are some.
 */
export const busy = `function busy({ Cache, CompletionRouter, countTokensAsync }, baseUrl, path, name) {
  const router = new CompletionRouter({ cache: path, providers: [
    { type: 'openai-compatible', name: 'local', baseUrl },
    { name: 'mine', complete: () => new Promise((resolve) => setTimeout(resolve, 1, 'x')) },
    { name: 'endless', async *complete() { for (;;) yield 'piece ' } },
  ] })
  router.deploy('default', 'local::m').deploy('mine', 'mine::m').deploy('endless', 'endless::m')
  const answered = []
  let enough
  const some = new Promise((resolve) => { enough = resolve })
  let number = 0
  const again = async (act) => {
    for (;;) {
      number += 1
      await act(name + ' ' + number)
      // Many of these programs run at once.
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  const calls = async (message) => {
    await router.invoke('default', { message })
    answered.push(message)
    if (answered.length === 5) enough()
  }
  const reads = async (group, message, most) => {
    let count = 0
    for await (const _ of router.stream(group, { message })) if ((count += 1) === most) break
  }
  const batches = async (name) => {
    const requests = Array.from({ length: 20 }, (_, index) => ({ message: name + ' of a batch ' + index }))
    let left = 10
    for await (const _ of router.invokeMany('default', requests)) if ((left -= 1) === 0) break
  }
  const aborts = async (message) => {
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 2)
    await router.invoke('default', { message: 'hang ' + message }, { signal: controller.signal }).catch(() => undefined)
  }
  const caches = async () => {
    const cache = await Cache.open(path)
    await cache.flush()
    cache.stats()
    await cache.close()
  }
  for (let line = 0; line < 2; line += 1) {
    again(calls)
    again((message) => router.invoke('mine', { message }))
    again((message) => reads('default', message + ' in some words, or more', 3))
  }
  again((message) => reads('endless', message, 20))
  again(batches)
  again(aborts)
  again(caches)
  again(() => countTokensAsync('some words to count '.repeat(1000), 'r50k_base'))
  // What hangs until the end.
  router.invoke('default', { message: 'hang ' + name }).catch(() => undefined)
  router.stream('default', { message: 'stall ' + name })[Symbol.asyncIterator]().next().catch(() => undefined)
  return { router, answered, enough: some }
}`

/** The server of a busy program. */
export const served: Answer = async (seen, response) => {
  if (seen.text.includes('hang')) return
  if (!seen.text.includes('stall')) return await echo(seen, response)
  beginEvents(response)
  await event(response, piece({ content: 'Hel' }))
}

/** Those of these questions whose answers are not in the file. */
export async function lost(path: string, questions: string[]): Promise<string[]> {
  const router = new CompletionRouter({ cache: { path, mode: 'replay', memoryBytes: 0 } })
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: 'http://127.0.0.1:9/v1' })
  router.deploy('default', 'local::m')
  const missing: string[] = []
  for (const message of questions) await router.invoke('default', { message }).catch(() => missing.push(message))
  await router.close()
  return missing
}
