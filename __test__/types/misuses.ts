/** What must not compile. Each line that does is an error here. */

import {
  Cache,
  CompletionRouter,
  EmbeddingRouter,
  RerankRouter,
  ResponsesRouter,
  Router,
  UsageTracker,
  countTokens,
} from 'thryd'

export async function misuses(completion: CompletionRouter, embedding: EmbeddingRouter, rerank: RerankRouter) {
  // @ts-expect-error: a chat request is not an embedder's
  await embedding.invoke('default', { message: 'Hi' })
  // @ts-expect-error: a reranker needs a query
  await rerank.invoke('default', { documents: ['a'] })
  // @ts-expect-error: the Responses API has an input, which is no number
  await new ResponsesRouter().invoke('default', { input: 5 })
  // @ts-expect-error: its stream has a response
  void new ResponsesRouter().stream('default', { input: 'Hi' }).completion()
  // @ts-expect-error: embeddings do not stream
  embedding.stream('default', { input: 'a' })
  // @ts-expect-error: a number is not a text
  completion.deploy('default', 'p::m', { rpm: '60' })
  // @ts-expect-error: no such option
  completion.deploy('default', 'p::m', { requestsPerMinute: 60 })
  // @ts-expect-error: no such strategy
  completion.configureGroup('default', { strategy: 'random' })
  // @ts-expect-error: no such provider type
  completion.addProvider({ type: 'open-ai' })
  // @ts-expect-error: a provider of the caller's own has a name
  completion.addProvider({ complete: async () => '' })
  // @ts-expect-error: no such cache mode
  await completion.invoke('default', { message: 'Hi' }, { cache: 'force-cache' })
  // @ts-expect-error: absent is not undefined
  await completion.invoke('default', { message: 'Hi' }, { signal: undefined })
  // @ts-expect-error: invoke does not stream
  await completion.invoke('default', { message: 'Hi' }, { onInterrupt: 'restart' })
  const answer = await completion.invoke('default', { message: 'Hi' })
  // @ts-expect-error: an answer is not to be changed
  answer.raw = {}
  // @ts-expect-error: a completion has no vectors
  void answer.vectors
  for await (const item of completion.invokeMany('default', [{ message: 'Hi' }])) {
    // @ts-expect-error: an item may be an error
    void item.content
  }
  // @ts-expect-error: a router has a kind
  void new Router()
  // @ts-expect-error: a cache is opened
  void new Cache()
  const cache = await Cache.open({})
  // @ts-expect-error: an export goes to a file
  await cache.export()
  // @ts-expect-error: an import takes in all that is there
  await cache.import('./x.jsonl', { namespace: 'a' })
  // @ts-expect-error: one name
  completion.deploy('default', 'p::m', { cacheAs: ['a', 'b'] })
  // @ts-expect-error: limits are given
  void new UsageTracker()
  // @ts-expect-error: messages, not one message
  countTokens({ role: 'user', content: 'Hi' })
}
