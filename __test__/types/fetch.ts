/** Uses every name of `thryd/fetch` against its shipped typings. Never run, as `contract.ts`. */

import { CompletionRouter, EmbeddingRouter, RerankRouter, ResponsesRouter } from 'thryd'
import { type FetchHandler, type FetchOptions, toFetch } from 'thryd/fetch'

const options: FetchOptions = {
  completion: new CompletionRouter(),
  responses: new ResponsesRouter(),
  embedding: new EmbeddingRouter(),
  rerank: new RerankRouter(),
  authorize: async (request: Request) => request.headers.has('authorization') || new Response(null, { status: 402 }),
  options: (request) => ({ namespace: request.headers.get('x-tenant') ?? '', priority: 1, cache: 'reload' }),
  maxBodyBytes: 1024,
}
export const handler: FetchHandler = toFetch(options)
export const like: typeof fetch = handler
toFetch({ completion: new CompletionRouter(), options: { totalMs: 1000 } })
// @ts-expect-error a router of another kind
toFetch({ completion: new EmbeddingRouter() })
// @ts-expect-error the request brings it
toFetch({ completion: new CompletionRouter(), options: { signal: AbortSignal.abort() } })
/** What Next.js asks of a route handler. */
export const POST: (request: Request, context: { params: Promise<{ path: string[] }> }) => Promise<Response> = handler
