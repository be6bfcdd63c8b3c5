/** What a server answers, and how it arrives. */

import { expect } from 'vitest'

import { type Feature, type Named, completions, direct, embeddings, expectVectors, outcomes, read } from './asking'
import { COUNT, END, counted } from './server'

const HI = { message: 'hi' }

/** A tool whose argument the server can only fill in one of two ways. */
export const WEATHER = {
  type: 'function' as const,
  function: {
    name: 'weather',
    description: 'The weather of a city.',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string', enum: ['Oslo', 'Rome'] } },
      required: ['city'],
      additionalProperties: false,
    },
  },
}

/** A form that no count has by chance. */
export const CITY = {
  name: 'city',
  strict: true,
  schema: {
    type: 'object',
    properties: { city: { type: 'string', enum: ['Oslo', 'Rome'] }, people: { type: 'integer', enum: [1, 2, 3] } },
    required: ['city', 'people'],
    additionalProperties: false,
  },
}

/** Whether a text is a city by that form. */
export function expectCity(text: string): void {
  const city = JSON.parse(text) as Record<string, unknown>
  expect(Object.keys(city)).toEqual(['city', 'people'])
  expect(['Oslo', 'Rome']).toContain(city['city'])
  expect([1, 2, 3]).toContain(city['people'])
}

const whole: Feature = async ({ counter }) => {
  await using router = completions([counter])
  const answer = await router.invoke('default', { ...HI, temperature: 0 })
  expect(answer.content).toBe(COUNT)
  expect(answer.finishReason).toBe('stop')
  expect(answer.model).toBe(counter.model)
  expect(outcomes(answer)).toEqual(['a ok'])
  const { promptTokens, completionTokens, totalTokens, estimated } = answer.usage
  expect(estimated).toBeUndefined()
  expect(promptTokens).toBeGreaterThan(0)
  // A token is a word, and some servers count the end.
  expect([12, 13]).toContain(completionTokens)
  expect(totalTokens).toBe(promptTokens + completionTokens)
  return `yes, with its usage: ${completionTokens} tokens`
}

const stream: Feature = async ({ counter }) => {
  await using router = completions([counter])
  const pieces: string[] = []
  const answer = router.stream('default', { ...HI, temperature: 0 })
  expect(await read(answer, pieces)).toBe(COUNT)
  const { content, finishReason, usage } = await answer.completion()
  expect([content, finishReason]).toEqual([COUNT, 'stop'])
  expect(usage.totalTokens).toBe(usage.promptTokens + usage.completionTokens)
  expect(pieces.length).toBeGreaterThan(1)
  expect(usage.completionTokens).toBeGreaterThanOrEqual(12)
  return `yes: ${pieces.length}, usage ${usage.estimated ? 'counted here' : 'reported'}`
}

const long: Feature = async ({ counter }, kind) => {
  await using router = completions([counter])
  const pieces: string[] = []
  const asked = { ...HI, temperature: 0, logit_bias: { [END]: -100 }, max_tokens: kind.long }
  const text = await read(router.stream('default', asked), pieces)
  expect(text).toBe(counted(kind.long))
  return `yes: ${kind.long}`
}

const stop: Feature = async ({ counter }) => {
  await using router = completions([counter])
  const asked = { ...HI, temperature: 0, stop: [' five', ' nine'] }
  const answer = await router.invoke('default', asked)
  expect([answer.content, answer.finishReason]).toEqual([' one two three four', 'stop'])
  expect(await read(router.stream('default', asked))).toBe(answer.content)
  return 'yes'
}

const length: Feature = async ({ counter }) => {
  await using router = completions([counter])
  const known: string[] = []
  for (const name of ['max_tokens', 'max_completion_tokens']) {
    const asked = { ...HI, temperature: 0, [name]: 3 }
    const { content, finishReason } = await router.invoke('default', asked)
    const streamed = router.stream('default', asked)
    expect(await read(streamed)).toBe(content)
    expect((await streamed.completion()).finishReason).toBe(finishReason)
    if (finishReason === 'length') known.push(`\`${name}\``)
    // Some servers have never heard of the newer name.
    expect([' one two three', COUNT]).toContain(content)
    expect(finishReason).toBe(content === COUNT ? 'stop' : 'length')
  }
  expect(known[0]).toBe('`max_tokens`')
  return known.length === 2 ? 'both' : `${known[0]} alone`
}

const seed: Feature = async ({ counter }) => {
  await using router = completions([counter])
  const texts: string[] = []
  // So hot that the model forgets how to count; what is not OpenAI's travels as well.
  for (const value of [1, 2, 1, 2]) {
    const hot = { temperature: 2, top_p: 1, top_k: 0, min_p: 0, max_tokens: 10 }
    texts.push((await router.invoke('default', { ...HI, ...hot, seed: value })).content)
  }
  expect(texts[0]).toBe(texts[2])
  expect(texts[1]).toBe(texts[3])
  expect(texts[0]).not.toBe(texts[1])
  return 'yes'
}

const logprobs: Feature = async ({ counter }) => {
  await using router = completions([counter])
  const asked = { ...HI, temperature: 0, max_tokens: 4, logprobs: true, top_logprobs: 2 }
  const { raw } = await router.invoke('default', asked)
  const [choice] = (raw as { choices: { logprobs: { content: { token: string; logprob: number }[] } }[] }).choices
  const { content } = choice?.logprobs ?? { content: [] }
  expect(content.map(({ token }) => token).join('')).toBe(' one two three four')
  for (const { logprob } of content) expect(logprob).toBeLessThanOrEqual(0)
  return 'yes'
}

const schema: Feature = async ({ counter }, kind) => {
  await using router = completions([counter])
  const format = kind.format(CITY)
  const asked = { ...HI, max_tokens: 200, response_format: format }
  expectCity((await router.invoke('default', asked)).content)
  expectCity(await read(router.stream('default', asked)))
  return `yes: \`${Object.values(format)[0] as string}\``
}

/** What calls a tool: by its name, which every server takes for an order. */
export const CALL = {
  message: 'hi',
  tools: [WEATHER],
  tool_choice: { type: 'function', function: { name: 'weather' } },
  parallel_tool_calls: false,
  max_tokens: 300,
}

const tools: Feature = async ({ caller }) => {
  await using router = completions([caller])
  const streamed = router.stream('default', CALL)
  expect(await read(streamed)).toBe('')
  for (const { toolCalls, finishReason } of [await router.invoke('default', CALL), await streamed.completion()]) {
    expect(toolCalls.length).toBe(1)
    expect(toolCalls[0]).toMatchObject({ name: 'weather', id: expect.stringMatching(/./) as string })
    expect(['Oslo', 'Rome']).toContain((JSON.parse(toolCalls[0]?.arguments ?? '') as { city: string }).city)
    expect(finishReason).toBe('tool_calls')
  }
  return 'yes'
}

const vectors: Feature = async ({ vectors: model }) => {
  await using router = embeddings([model])
  const input = ['one two', 'ten', 'one two']
  const { vectors: given } = await router.invoke('default', { input })
  expectVectors(given, await direct(model, 'embeddings', { input }))
  expectVectors([given[0] ?? []], await direct(model, 'embeddings', { input: ['one two'] }))
  expect(given[0]).not.toEqual(given[1])
  expect(given[0]?.length).toBe(64)
  return 'yes'
}

const kept: Feature = async ({ counter }) => {
  await using router = completions([counter], { cache: {} })
  // Nobody says the same twice by chance at this temperature.
  const hot = { ...HI, temperature: 2, top_p: 1, top_k: 0, min_p: 0, max_tokens: 30 }
  const first = await router.invoke('default', hot)
  const second = await router.invoke('default', hot)
  expect([first.cache, second.cache]).toEqual(['miss', 'memory'])
  expect(second.content).toBe(first.content)
  expect(await read(router.stream('default', hot))).toBe(first.content)
  const asked = await router.invoke('default', hot, { cache: 'reload' })
  expect(asked.content).not.toBe(first.content)
  return 'yes'
}

const many: Feature = async ({ counter }) => {
  await using router = completions([counter])
  // llama.cpp's server has few threads for connections; who opens more waits until one that is idle is closed.
  router.addProvider({
    type: 'openai-compatible',
    name: 'a',
    baseUrl: counter.baseUrl,
    apiKey: counter.apiKey,
    maxConcurrent: 2,
  })
  const requests = Array.from({ length: 20 }, (_, place) => ({ ...HI, temperature: 0, max_tokens: 1 + (place % 12) }))
  const words = COUNT.trimStart().split(' ')
  let place = 0
  for await (const answer of router.invokeMany('default', requests)) {
    if (answer instanceof Error) throw answer
    expect(answer.content.trimStart().split(' ')).toEqual(words.slice(0, 1 + (place % 12)))
    place += 1
  }
  expect(place).toBe(20)
  return 'yes'
}

export const ANSWERS: Named[] = [
  ['a whole answer', whole],
  ['a stream, in its pieces', stream],
  ['a long stream, of which no token is lost', long],
  ['stop sequences', stop],
  ['`max_tokens` and `max_completion_tokens`: `length`', length],
  ['equal seeds, equal answers', seed],
  ['log probabilities', logprobs],
  ['an object by a JSON schema, whole and streamed', schema],
  ['a tool that must be called, whole and streamed', tools],
  ['embeddings, as the server gives them itself', vectors],
  ['an answer from the cache, also as a stream', kept],
  ['twenty at once, each its own answer', many],
]
