// Who asks the mock server: thryd, its peers, and what one would write. Each is made in the process that uses it.

import { createRequire } from 'node:module'

import { version } from './machine.mjs'
import { versionOf } from './peers.mjs'

const require = createRequire(import.meta.url)

/** Never a limit here, but kept: what is charged, reserved and settled costs what it costs. */
const GENEROUS = { rpm: 1_000_000_000, tpm: 1_000_000_000_000, maxConcurrent: 1_000_000 }

const body = (prompt, rest) => ({
  model: 'model',
  messages: [{ role: 'user', content: prompt }],
  max_completion_tokens: 200,
  ...rest,
})
const headers = { 'content-type': 'application/json', authorization: 'Bearer none' }
const contentOf = (completion) => completion.choices[0].message.content

/**
 * A router with everything switched on: two deployments to route between, limits of requests, tokens and slots, an
 * estimate of tokens, a cache and so a key, joining, statistics.
 */
function thryd({ url }) {
  const { CompletionRouter, EmbeddingRouter } = require('..')
  const options = { providers: [{ type: 'openai-compatible', name: 'mock', baseUrl: url }], cache: {} }
  const [router, embedder] = [new CompletionRouter(options), new EmbeddingRouter(options)]
  for (const model of ['mock::gpt-4o', 'mock::gpt-4o-mini']) router.deploy('default', model, GENEROUS)
  for (const model of ['mock::large', 'mock::small']) embedder.deploy('default', model, GENEROUS)
  return {
    ask: async (prompt) => (await router.invoke('default', { message: prompt, max_completion_tokens: 200 })).content,
    stream: async (prompt, see) => {
      for await (const chunk of router.stream('default', { message: prompt }))
        if (chunk.type === 'content') see(chunk.delta)
    },
    vectors: async (input) => (await embedder.invoke('default', { input })).vectors,
  }
}

/** The same with nothing switched on: what routing, limits and the cache add to it. */
function thrydBare({ url }) {
  const { CompletionRouter } = require('..')
  const router = new CompletionRouter({ providers: [{ type: 'openai-compatible', name: 'mock', baseUrl: url }] })
  router.deploy('default', 'mock::gpt-4o')
  return {
    ask: async (prompt) => (await router.invoke('default', { message: prompt, max_completion_tokens: 200 })).content,
  }
}

async function undici({ url, connections = 1, extra = {} }) {
  const { Pool } = await import('undici')
  const { origin, pathname } = new URL(url)
  const pool = new Pool(origin, { connections })
  const request = (json) =>
    pool.request({
      path: `${pathname}/chat/completions`,
      method: 'POST',
      headers: { ...headers, ...extra },
      body: JSON.stringify(json),
    })
  return {
    ask: async (prompt) => {
      const response = await request(body(prompt))
      if (response.statusCode !== 200) throw new Error(`${response.statusCode} ${await response.body.text()}`)
      return contentOf(await response.body.json())
    },
    stream: async (prompt, see) => eachEvent((await request(body(prompt, { stream: true }))).body, see),
  }
}

function byHand({ url }) {
  const post = (json) => fetch(`${url}/chat/completions`, { method: 'POST', headers, body: JSON.stringify(json) })
  return {
    ask: async (prompt) => contentOf(await (await post(body(prompt))).json()),
    stream: async (prompt, see) => eachEvent((await post(body(prompt, { stream: true }))).body, see),
  }
}

/** What one would write to read a stream of events: no more than it takes. */
async function eachEvent(bytes, see) {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const part of bytes) {
    rest += decoder.decode(part, { stream: true })
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const data = rest.slice('data: '.length, end)
      rest = rest.slice(end + 2)
      if (data === '[DONE]') return
      const content = JSON.parse(data).choices[0]?.delta.content
      if (content) see(content)
    }
  }
}

async function openai({ url }) {
  const { default: OpenAI } = await import('openai')
  const client = new OpenAI({ apiKey: 'none', baseURL: url })
  return {
    ask: async (prompt) => contentOf(await client.chat.completions.create(body(prompt))),
    stream: async (prompt, see) => {
      for await (const chunk of await client.chat.completions.create(body(prompt, { stream: true }))) {
        const content = chunk.choices[0]?.delta.content
        if (content) see(content)
      }
    },
    vectors: async (input) =>
      (await client.embeddings.create({ model: 'model', input })).data.map(({ embedding }) => embedding),
  }
}

async function ai({ url }) {
  const { generateText, streamText } = await import('ai')
  const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible')
  const model = createOpenAICompatible({ name: 'mock', baseURL: url })('model')
  return {
    ask: async (prompt) => (await generateText({ model, prompt, maxOutputTokens: 200 })).text,
    stream: async (prompt, see) => {
      for await (const delta of streamText({ model, prompt }).textStream) see(delta)
    },
  }
}

async function langchain({ url }) {
  const { ChatOpenAI } = await import('@langchain/openai')
  const model = new ChatOpenAI({ model: 'model', apiKey: 'none', maxTokens: 200, configuration: { baseURL: url } })
  return {
    ask: async (prompt) => (await model.invoke(prompt)).content,
    stream: async (prompt, see) => {
      for await (const { content } of await model.stream(prompt)) if (content) see(content)
    },
  }
}

function literLlm({ url }) {
  const { createClient } = require('@xberg-io/liter-llm')
  const client = createClient('none', url)
  return {
    ask: async (prompt) => contentOf(await client.chat({ ...body(prompt), model: 'openai/model' })),
  }
}

/** By name: how it is made, and whose version it has. `gateway`: what has to run in front of it (gateways.mjs). */
export const ASKERS = {
  thryd: { make: thryd, version },
  'thryd, nothing switched on': { make: thrydBare, version },
  undici: { make: undici, package: 'undici' },
  'fetch, by hand': { make: byHand, version: process.version },
  openai: { make: openai, package: 'openai' },
  ai: { make: ai, package: 'ai' },
  '@langchain/openai': { make: langchain, package: '@langchain/openai' },
  '@xberg-io/liter-llm': { make: literLlm, package: '@xberg-io/liter-llm' },
  'Portkey gateway, by undici': { make: undici, package: '@portkey-ai/gateway', gateway: 'portkey' },
  'LiteLLM proxy, by undici': { make: undici, gateway: 'litellm' },
}

/** Its version, as far as it is known. */
export function versionOfAsker(name) {
  const { package: module, version: known } = ASKERS[name]
  try {
    return module ? versionOf(module) : known
  } catch {
    return undefined
  }
}
