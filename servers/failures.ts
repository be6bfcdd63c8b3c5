/** What goes wrong at a server, and what a caller sees of it. */

import { expect } from 'vitest'

import { type CompletionRouter, InterruptedError, ProviderError, RateLimitError } from '..'
import { type Feature, type Named, completions, embeddings, failure, outcomes, read } from './asking'
import type { Mortal } from './child'
import { type Endpoint, COUNT, END, KEY, SMALL, counted } from './server'

const HI = { message: 'hi', temperature: 0 }

/** An answer that ends when the context does, many seconds later. */
const ENDLESS = { ...HI, logit_bias: { [END]: -100 }, max_tokens: 100_000 }

/** How a request fails at one deployment, whole and streamed, and whether another answers it then. */
async function refused(first: Endpoint, other: Endpoint, request: { message: string }): Promise<Refused> {
  await using alone = completions([first], { retry: { maxRetries: 0 } })
  const error = await failure(alone.invoke('default', request))
  expect(error).toBeInstanceOf(ProviderError)
  const { attempts: streamed } = await failure(read(alone.stream('default', request)))
  await using both = completions([first, other])
  if (error.attempts[0]?.outcome === 'rejected') {
    // Never twice of the same one: another is asked if it may have what this one lacks.
    const { attempts } = await failure(both.invoke('default', request))
    expect(['a rejected', 'a rejected, b rejected']).toContain(outcomes({ attempts }).join(', '))
    const stats = both.stats().groups['default']?.deployments ?? []
    expect(stats.map(({ circuit }) => circuit)).toEqual(['closed', 'closed'])
  } else {
    const answer = await both.invoke('default', request)
    expect(outcomes(answer).at(-1)).toBe('b ok')
    expect(answer.content).toBe(COUNT)
    expect(await read(both.stream('default', request))).toBe(COUNT)
  }
  return { error: error as ProviderError, streamed: streamed[0]?.outcome ?? '' }
}

/** What came of it. */
interface Refused {
  error: ProviderError
  /** How the attempt for a stream ended. */
  streamed: string
}

/** The class and the status, as a cell says them. */
function cell({ attempts, status }: ProviderError, streamed: string | undefined = attempts[0]?.outcome): string {
  const outcome = attempts[0]?.outcome
  return `\`${outcome}\` (${status})${streamed === outcome ? '' : `, a stream: \`${streamed}\``}`
}

const tooLong: Feature = async ({ small, counter }) => {
  const request = { ...HI, message: 'one '.repeat(2 * SMALL) + 'hi' }
  const { error, streamed } = await refused(small, counter, request)
  expect(error.attempts.map(({ outcome }) => outcome)).toEqual(['too-long'])
  expect(error.message).toContain(String(SMALL))
  return `${cell(error, streamed)}; another answers`
}

const tooLongToEmbed: Feature = async ({ vectors }) => {
  await using router = embeddings([vectors], { retry: { maxRetries: 0 } })
  const call = router.invoke('default', { input: ['ten', 'one '.repeat(4 * SMALL)] })
  const [outcome] = await Promise.allSettled([call])
  // What it does is not thryd's to see.
  if (outcome.status === 'fulfilled') return 'the server cuts it, without a word'
  expect(outcome.reason).toBeInstanceOf(ProviderError)
  return cell(outcome.reason as ProviderError)
}

const wrongKey: Feature = async ({ counter, other }) => {
  const { error, streamed } = await refused({ ...counter, apiKey: 'sk-nobody-knows-this-key' }, other, HI)
  expect(error.attempts[0]?.outcome).toBe('auth')
  expect(JSON.stringify(error) + error.message + error.body).not.toContain('nobody-knows')
  return `${cell(error, streamed)}; another answers`
}

const unknownModel: Feature = async ({ counter, other }) => {
  const unknown = { ...counter, model: 'nobody' }
  await using router = completions([unknown])
  const [answer] = await Promise.allSettled([router.invoke('default', HI)])
  // A server with one model gives that one, whatever it is called.
  if (answer.status === 'fulfilled') return `answers as \`${answer.value.model}\``
  const { error, streamed } = await refused(unknown, other, HI)
  expect(error.attempts[0]?.outcome).toBe('auth')
  return `${cell(error, streamed)}; another answers`
}

const badField: Feature = async ({ counter, other }) => {
  const { error, streamed } = await refused(counter, other, { ...HI, response_format: { type: 'verse' } } as never)
  return cell(error, streamed)
}

const noVectors: Feature = async ({ counter }) => {
  await using router = embeddings([counter], { retry: { maxRetries: 0 } })
  const error = await failure(router.invoke('default', { input: 'ten' }))
  expect(error).toBeInstanceOf(ProviderError)
  return cell(error as ProviderError)
}

/** Reads an endless answer and kills its server after ten pieces. */
async function killed(
  mortal: Mortal,
  endpoints: Endpoint[],
  options: { onInterrupt?: 'restart' },
  request: typeof HI,
): Promise<{ text: string; restarts: string[] }> {
  await using router = completions(endpoints, { retry: { maxRetries: 3, baseDelayMs: 0 } })
  let [text, pieces] = ['', 0]
  const restarts: string[] = []
  for await (const chunk of router.stream('default', request, options)) {
    if (chunk.type === 'restart') {
      restarts.push(chunk.discarded)
      text = ''
    }
    if (chunk.type !== 'content') continue
    text += chunk.delta
    pieces += 1
    if (pieces === 10) await mortal.kill()
  }
  return { text, restarts }
}

/** What a reader sees of a death in a stream of the endpoint `asked`, which is the server's or stands before it. */
export async function expectDeath(mortal: Mortal, asked: Endpoint, other: Endpoint, tokens: number): Promise<string> {
  const error = await failure(killed(mortal, [asked], {}, ENDLESS))
  expect(error).toBeInstanceOf(InterruptedError)
  const { delivered } = error as InterruptedError
  expect(delivered.length).toBeGreaterThan(' one two three'.length)
  expect(counted(100_000).startsWith(delivered)).toBe(true)
  await mortal.revive()

  // Long enough to be killed in; the other one says all of it.
  const request = { ...ENDLESS, max_tokens: tokens }
  const { text, restarts } = await killed(mortal, [asked, other], { onInterrupt: 'restart' }, request)
  expect(restarts.length).toBe(1)
  expect(restarts[0]?.length).toBeGreaterThan(0)
  expect(text).toBe(counted(tokens))
  return `\`InterruptedError\` (\`${error.attempts[0]?.outcome}\`); \`restart\` gives another’s answer`
}

const death: Feature = async (server, { long }) => {
  const { endpoint, server: mortal } = await server.mortal()
  return expectDeath(mortal, endpoint, server.other, long)
}

const recovery: Feature = async (server) => {
  const { endpoint, server: mortal } = await server.mortal()
  await using router = completions([endpoint, server.other])
  expect(outcomes(await router.invoke('default', HI))).toEqual(['a ok'])
  await mortal.kill()
  for (const answer of await Promise.all([1, 2, 3, 4].map((seed) => router.invoke('default', { ...HI, seed })))) {
    expect(outcomes(answer).at(-1)).toBe('b ok')
    expect(answer.content).toBe(COUNT)
  }
  await mortal.revive()
  await expect
    .poll(async () => (await router.invoke('default', HI)).deployment, { timeout: 20_000 })
    .toBe(`a::${endpoint.model}`)
  expect(router.stats().groups['default']?.deployments[0]?.circuit).not.toBe('open')
  return 'yes'
}

/** Leaves an endless stream after a few pieces, by leaving the loop or by a signal. */
async function leave(router: CompletionRouter, by: 'loop' | 'signal'): Promise<void> {
  const controller = new AbortController()
  let pieces = 0
  for await (const _ of router.stream('default', ENDLESS, { signal: controller.signal })) {
    pieces += 1
    if (pieces === 5 && by === 'loop') return
    if (pieces === 5) controller.abort()
  }
}

const abort: Feature = async (server, { leavingMs }) => {
  const { endpoint } = await server.mortal()
  await using router = completions([endpoint])
  expect((await router.invoke('default', HI)).content).toBe(COUNT)
  for (const by of ['loop', 'signal'] as const) {
    const [outcome] = await Promise.allSettled([leave(router, by)])
    expect(outcome.status === 'rejected' && (outcome.reason as Error).name).toBe(by === 'signal' && 'AbortError')
    // It does one thing at a time: it has to have let go of the other, which takes it much longer.
    expect((await router.invoke('default', HI, { totalMs: leavingMs })).content).toBe(COUNT)
  }
  return 'yes'
}

const second: Feature = async ({ counter }, { long }) => {
  const asked = { ...HI, logit_bias: { [END]: -100 }, max_tokens: long }
  const both = async (router: CompletionRouter): Promise<PromiseSettledResult<string>> => {
    let [text, other] = ['', Promise.resolve('')]
    const reading = async (): Promise<string> => {
      for await (const chunk of router.stream('default', asked)) {
        if (text === '') other = router.invoke('default', HI, { cache: 'no-store' }).then(({ content }) => content)
        if (chunk.type === 'content') text += chunk.delta
      }
      return text
    }
    const [outcome] = await Promise.allSettled([reading()])
    expect(await other).toBe(COUNT)
    return outcome
  }
  // One after the other, everybody gets what they asked for.
  await using patient = completions([counter])
  patient.addProvider({ type: 'openai-compatible', name: 'a', baseUrl: counter.baseUrl, apiKey: KEY, maxConcurrent: 1 })
  expect(await both(patient)).toEqual({ status: 'fulfilled', value: counted(long) })
  await using router = completions([counter])
  const outcome = await both(router)
  if (outcome.status === 'fulfilled') {
    expect(outcome.value).toBe(counted(long))
    return 'both are answered'
  }
  expect(outcome.reason).toBeInstanceOf(InterruptedError)
  return 'the server cuts the stream: `InterruptedError`; with `maxConcurrent: 1` both are answered'
}

const limits: Feature = async ({ counter, other }) => {
  await using router = completions([counter])
  router.deploy('default', `a::${counter.model}`, { rpm: 2 })
  const ask = (seed: number) => router.invoke('default', { ...HI, seed }, { queueMs: 0 })
  expect((await ask(1)).content + (await ask(2)).content).toBe(COUNT + COUNT)
  const error = await failure(ask(3))
  expect(error).toBeInstanceOf(RateLimitError)
  expect(error.attempts).toEqual([])
  router.addProvider({ type: 'openai-compatible', name: 'b', baseUrl: other.baseUrl, apiKey: other.apiKey })
  router.deploy('default', `b::${other.model}`)
  expect(outcomes(await ask(4))).toEqual(['b ok'])
  return 'yes'
}

export const FAILURES: Named[] = [
  ['a context that is too long', tooLong],
  ['a text that is too long to embed', tooLongToEmbed],
  ['a wrong key', wrongKey],
  ['a model that is not there', unknownModel],
  ['a `response_format` that nobody has', badField],
  ['vectors of a model that has none', noVectors],
  ['its process is killed in a stream', death],
  ['it is killed and comes back: asked again', recovery],
  ['an abort in a stream: it stops, and answers the next', abort],
  ['a second request in the middle of a stream', second],
  ['`rpm` holds, and another answers beyond it', limits],
]
