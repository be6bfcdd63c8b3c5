/** What pages take for granted: the names that their programs find, and what is said to be true held up against what is. */

import { createServer } from 'node:http'
import { isDeepStrictEqual } from 'node:util'

import {
  CompletionRouter,
  type CustomProvider,
  EmbeddingRouter,
  type ProviderOptions,
  RerankRouter,
  ResponsesRouter,
} from 'thryd'
import { toFetch } from 'thryd/fetch'

/** Another one for each section, so that none depends on what another did. */
// oxlint-disable-next-line typescript/explicit-function-return-type -- the names are the type
export function world() {
  const providers: ProviderOptions[] = [
    { type: 'openai' },
    { type: 'azure', baseUrl: 'https://example.openai.azure.com' },
  ]
  const chats = { default: { deployments: ['openai::gpt-4o'] } }
  const router = new CompletionRouter({ providers, groups: chats, cache: {} })
  const completion = router
  const responses = new ResponsesRouter({ providers, groups: chats })
  const vectors = { deployments: ['openai::text-embedding-3-small'] }
  const embedding = new EmbeddingRouter({ providers, groups: { vectors } })
  const ranking = { deployments: ['jina::jina-reranker-v2'] }
  const rerank = new RerankRouter({ providers: [{ type: 'jina' }], groups: { ranking } })
  return {
    router,
    completion,
    responses,
    embedding,
    rerank,
    embeddingRouter: embedding,
    rerankRouter: rerank,
    handler: toFetch({ completion, responses, embedding, rerank }),
    request: { message: 'Hi' },
    longText: 'A word and another. '.repeat(10_000),
    OpenAI,
    server: createServer(),
  }
}

/** As much of OpenAI's client as the pages show; `clients/` asks the real one. */
class OpenAI {
  readonly chat: { completions: { create(body: object): Promise<{ choices: { message: { content: string } }[] }> } }

  constructor({ baseURL, apiKey, fetch }: { baseURL: string; apiKey: string; fetch: typeof globalThis.fetch }) {
    const create = async (body: object): Promise<{ choices: { message: { content: string } }[] }> => {
      const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' }
      const answer = await fetch(`${baseURL}/chat/completions`, { method: 'POST', headers, body: JSON.stringify(body) })
      if (!answer.ok) throw new Error(await answer.text())
      return (await answer.json()) as never
    }
    this.chat = { completions: { create } }
  }
}

const wrong: string[] = []

/** Holds what a page says against what is. */
export function claimed<Value>(actual: Value, expected: Value, place: string): Value {
  if (!isDeepStrictEqual(actual, expected))
    wrong.push(`${place} says ${JSON.stringify(expected)}, and it is ${JSON.stringify(actual)}`)
  return actual
}

/** The end of a program: with servers open, or not. */
export function finish(): void {
  for (const line of wrong) console.error(line)
  process.exit(wrong.length === 0 ? 0 : 1)
}

export type { CustomProvider }
