/**
 * thryd/fetch: OpenAI's HTTP API over routers, as one `fetch` for clients and for servers. All that is public stands here, so
 * that its typings are one file beside those of `thryd`, whose classes they name.
 */

import type { CompletionRouter, EmbeddingRouter, InvokeOptions, RerankRouter, ResponsesRouter } from 'thryd'

import { responseTo } from './handler'
import { settingsOf } from './options'

/** Routers, and what is to happen to requests before they are asked. */
export interface FetchOptions {
  /** Answers `/v1/chat/completions`. */
  completion?: CompletionRouter
  /** Answers `/v1/responses`. */
  responses?: ResponsesRouter
  /** Answers `/v1/embeddings`. */
  embedding?: EmbeddingRouter
  /** Answers `/v1/rerank`. */
  rerank?: RerankRouter
  /**
   * Whether a request may be answered: `true` is yes, a `Response` is given back as it is, all else is 401. To look at the
   * body, `clone()` the request first; refuse one without a `content-length` before, because nothing bounds it then.
   * @default everybody may
   */
  authorize?: (request: Request) => boolean | Response | Promise<boolean | Response>
  /**
   * Options of the call that a request becomes, or what gives them: a `namespace` for each tenant, a `priority`, clocks.
   * The signal is the request's. @default those of the router
   */
  options?:
    | Omit<InvokeOptions, 'signal'>
    | ((request: Request) => Omit<InvokeOptions, 'signal'> | Promise<Omit<InvokeOptions, 'signal'>>)
  /** Most bytes of a body; one that is larger is 413. @default 64 MiB */
  maxBodyBytes?: number
}

/**
 * As the global `fetch`: for a client's `fetch` option, a route handler, or a server. What Next.js gives its route handlers in
 * the second place, `{ params }`, is not looked at.
 */
export type FetchHandler = (
  input: string | URL | Request,
  init?: RequestInit | { params: unknown },
) => Promise<Response>

/**
 * A WHATWG fetch that answers `/v1/chat/completions` and `/v1/responses` (streamed or not), `/v1/embeddings`, `/v1/rerank` and
 * `/v1/models` from routers; the body's `model` is the group. Give it to the OpenAI SDK, the Vercel AI SDK or LangChain as their `fetch`, or
 * export it as a Next.js route handler: `export const POST = toFetch({ completion })`.
 *
 * What goes wrong is a response with OpenAI's error shape; the promise rejects only if `init.signal` fires, as that of `fetch`
 * does, or if a hook throws. The client's Authorization goes to `authorize` and nowhere else.
 * @throws TypeError and RangeError on bad options
 */
export function toFetch(options: FetchOptions): FetchHandler {
  const settings = settingsOf(options)
  return async (input, init) => responseTo(settings, input, init)
}
