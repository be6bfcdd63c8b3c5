/** What only LiteLLM's proxy does: its mocked failures, its limits, and what it makes of the servers behind it. */

import { expect } from 'vitest'

import { ProviderError, type ThrydError } from '..'
import {
  type Feature,
  type Named,
  completions,
  direct,
  embeddings,
  expectVectors,
  failure,
  outcomes,
  read,
} from './asking'
import { expectDeath } from './failures'
import type { Proxy } from './litellm'
import { type Endpoint, COUNT } from './server'

const HI = { message: 'hi', temperature: 0 }

/** Fails in one way by itself; whether another answers then is part of the claim. */
function fails(model: string, outcome: string, status: number): Feature<Proxy> {
  return async ({ mocked, other, lockedOut }) => {
    const endpoint = model === 'locked-out' ? lockedOut : mocked(model)
    for (const isStream of [false, true]) {
      await using alone = completions([endpoint], { retry: { maxRetries: 0 }, timeouts: { queueMs: 0 } })
      const call = isStream ? read(alone.stream('default', HI)) : alone.invoke('default', HI)
      const { attempts } = await failure(call)
      expect(attempts).toMatchObject([{ outcome, status }])
    }
    await using both = completions([endpoint, other])
    if (outcome === 'rejected') {
      expect(outcomes(await failure(both.invoke('default', HI)))).toEqual(['a rejected'])
      return `\`${outcome}\` (${status})`
    }
    const answer = await both.invoke('default', HI)
    expect(answer.content).toBe(COUNT)
    expect(outcomes(answer)[0]).toBe(`a ${outcome}`)
    expect(outcomes(answer).at(-1)).toBe('b ok')
    return `\`${outcome}\` (${status}), another answers`
  }
}

const said: Feature<Proxy> = async ({ mocked }) => {
  await using router = completions([mocked('said')])
  const answer = await router.invoke('default', HI)
  expect(answer.content).toBe('three small words')
  expect(answer.usage).toEqual({ promptTokens: 10, completionTokens: 20, totalTokens: 30 })
  const pieces: string[] = []
  expect(await read(router.stream('default', HI), pieces)).toBe('three small words')
  expect(pieces.length).toBeGreaterThan(1)
  return 'yes'
}

const called: Feature<Proxy> = async ({ mocked }) => {
  await using router = completions([mocked('caller')])
  const { toolCalls } = await router.invoke('default', HI)
  expect(toolCalls).toEqual([{ id: 'call_1', name: 'weather', arguments: '{"city":"Oslo"}' }])
  return 'yes'
}

const learned: Feature<Proxy> = async ({ mocked, other }) => {
  await using router = completions([mocked('once-a-minute'), other])
  const first = await router.invoke('default', HI)
  expect([first.content, ...outcomes(first)]).toEqual(['once', 'a ok'])
  const [deployment] = router.stats().groups['default']?.deployments ?? []
  expect(deployment?.learned).toEqual({ rpm: 1 })
  // It is known before it is asked.
  expect(outcomes(await router.invoke('default', HI))).toEqual(['b ok'])

  // Who has not heard of it is told.
  await using stranger = completions([mocked('once-a-minute'), other])
  const second = await stranger.invoke('default', HI)
  expect(second.content).toBe(COUNT)
  expect(outcomes(second)).toEqual(['a rate-limited', 'b ok'])
  return 'learned from its headers; else `rate-limited` (429), another answers'
}

const vector: Feature<Proxy> = async ({ mocked, vectors }) => {
  await using router = embeddings([mocked('vector')], { retry: { maxRetries: 0 } })
  const { vectors: given } = await router.invoke('default', { input: 'one' })
  expect(given).toEqual([Float32Array.from([0.5, -0.25, 1])])
  // The mock gives one vector, whatever it is asked for.
  const error = await failure(router.invoke('default', { input: ['two', 'three'] }))
  expect(error.attempts).toMatchObject([{ outcome: 'truncated' }])
  await using both = embeddings([mocked('vector'), vectors])
  const answer = await both.invoke('default', { input: ['two', 'three'] })
  expectVectors(answer.vectors, await direct(vectors, 'embeddings', { input: ['two', 'three'] }))
  return '`truncated`, another answers'
}

const behind: Feature<Proxy> = async (server, kind) => {
  const cell = await expectDeath(server.behind.server, server.before, server.other, kind.long)
  await using router = completions([server.before, server.other])
  await server.behind.server.kill()
  const answer = await router.invoke('default', HI)
  expect([answer.content, outcomes(answer).at(-1)]).toEqual([COUNT, 'b ok'])
  await server.behind.server.revive()
  return cell
}

const malformed: Feature<Proxy> = async ({ before, other }) => {
  const unknown: Endpoint = { ...before, model: 'nobody' }
  await using router = embeddings([unknown, other], { retry: { maxRetries: 0 } })
  const error: ThrydError = await failure(router.invoke('default', { input: 'one' }))
  expect(error.attempts[0]).toMatchObject({ outcome: 'auth', status: 400 })
  expect(error).toBeInstanceOf(ProviderError)
  return '`auth` (400)'
}

export const MOCKED: Named<Proxy>[] = [
  ['a mocked answer, whole and streamed', said],
  ['mocked tool calls', called],
  ['its mocked rate limit', fails('rate-limited', 'rate-limited', 429)],
  ['its mocked server error', fails('broken', 'transient', 500)],
  ['its mocked context window', fails('too-long', 'too-long', 400)],
  ['its mocked content filter', fails('filtered', 'rejected', 400)],
  ['its mocked overload', fails('overloaded', 'rate-limited', 529)],
  ['its mocked timeout', fails('slow', 'transient', 408)],
  ['a model of one request a minute', learned],
  ['a mock with too few vectors', vector],
  ['a model for vectors that is not there', malformed],
  ['the server behind it does not let it in', fails('locked-out', 'auth', 401)],
  ['the server behind it is killed in a stream', behind],
]
