/** What an endpoint is: one of the built-in dialects, the dummy, or code of the caller's own. */

import type { CompletionRequest } from './completion'
import type { EmbeddingRequest } from './embedding'
import type { Fault, FaultShares } from './faults'
import type { RerankRequest } from './rerank'
import type { ResponsesRequest } from './response'

/** The APIs that thryd speaks. */
export type ProviderType =
  | 'openai'
  | 'openai-compatible'
  | 'azure'
  | 'anthropic'
  | 'gemini'
  | 'mistral'
  | 'groq'
  | 'deepseek'
  | 'xai'
  | 'together'
  | 'fireworks'
  | 'openrouter'
  | 'perplexity'
  | 'cohere'
  | 'jina'
  | 'voyage'
  | 'tei'
  | 'ollama'
  | 'lmstudio'
  | 'vllm'
  | 'dummy'

/** An LLM API endpoint. */
export interface ProviderOptions {
  /** Which API it speaks; also sets the default of everything below. */
  type: ProviderType
  /** What models call it: the part before `::`. @default the type */
  name?: string
  /**
   * The secret key. Never readable again from JavaScript, and never part of an error or a log.
   * @default the type's environment variable, e.g. `OPENAI_API_KEY`
   */
  apiKey?: string
  /** Where the API is, up to and including its version, e.g. `http://localhost:11434/v1`. Required for `'openai-compatible'`, `'azure'` and `'tei'`. */
  baseUrl?: string
  /**
   * For `'azure'` only: the version of its API, e.g. `'2024-10-21'`. Requests then go to the URL of the deployment that the model
   * names, and not to the v1 API.
   */
  apiVersion?: string
  /** Sent with every request. */
  headers?: Record<string, string>
  /** A key is not sent over plain http to anything but loopback unless this is true. @default false */
  allowInsecureHttp?: boolean
  /** Longest answer that is taken, whole or all events of a stream together, in bytes: a positive integer. @default 64 MiB */
  maxResponseBytes?: number
  /**
   * Requests in any 60 s, charged by every deployment on the provider beside its own `rpm`: a positive integer. One window
   * for all routers of this process that give limits for the same base URL and key, whatever they call the provider; the
   * limits that were given last hold for all of them. Dummies only share if they have an `apiKey`. @default unlimited
   */
  rpm?: number
  /**
   * Tokens in any 60 s, prompt and completion together, of all deployments on the provider: a positive integer. Shared as
   * `rpm` is. @default unlimited
   */
  tpm?: number
  /**
   * Requests in flight at once, streams until they end, of all deployments on the provider: a positive integer. Shared as
   * `rpm` is. @default unlimited
   */
  maxConcurrent?: number
  /**
   * Opens a connection as soon as the provider is added, in the background, so that the first request finds the name looked up,
   * the system's certificates read and TLS agreed. It asks for the head of `/`, without the key, and whatever comes of it is nobody's error.
   * Where a group on it counts tokens, their vocabulary is loaded too. A dummy has nothing to open. @default false
   */
  warmUp?: boolean
  /** For type `'dummy'` only. */
  dummy?: DummyOptions
}

/**
 * A provider written in JavaScript. It has the methods of the kinds that it serves.
 *
 * Throw (or reject with) an Error that has a `status` to be classified like an HTTP answer with that status: 429 rests the
 * deployment (for `retryAfterMs` milliseconds, if the error has that), 5xx is tried again, 4xx is the caller's fault.
 * Without a `status` a failure counts as transient.
 */
export interface CustomProvider {
  /** What models call it: the part before `::`. */
  name: string
  /**
   * Requests in any 60 s, charged by every deployment on the provider beside its own `rpm`: a positive integer. Read when
   * the provider is added; no other router shares it. @default unlimited
   */
  rpm?: number
  /** Tokens in any 60 s, prompt and completion together, likewise: a positive integer. @default unlimited */
  tpm?: number
  /** Requests in flight at once, likewise: a positive integer. @default unlimited */
  maxConcurrent?: number
  /**
   * Answers a chat request, `model` being the part after `::`. Gives the text, or an answer in OpenAI's shape; or an async
   * iterable of pieces of text or chunks in OpenAI's shape. `context.signal` fires when nobody wants the answer any more.
   */
  complete?(
    request: CompletionRequest & { model: string },
    context: { signal: AbortSignal },
  ): Promise<string | object> | AsyncIterable<string | object>
  /**
   * Answers a request of the Responses API, `model` being the part after `::`. Gives the text, or an answer in OpenAI's shape
   * (or a part of one: `{ output_text, tool_calls, usage }`); or an async iterable of pieces of text, of the chunks of
   * thryd's own streams, or of events in OpenAI's shape. `context.signal` fires when nobody wants the answer any more.
   */
  respond?(
    request: ResponsesRequest & { model: string },
    context: { signal: AbortSignal },
  ): Promise<string | object> | AsyncIterable<string | object>
  /** Gives one vector per input, in the order of the inputs. */
  embed?(
    request: EmbeddingRequest & { model: string },
    context: { signal: AbortSignal },
  ): Promise<number[][] | Float32Array[]>
  /** Gives the score of the documents, named by their index in `request.documents`. */
  rerank?(
    request: RerankRequest & { model: string },
    context: { signal: AbortSignal },
  ): Promise<{ index: number; score: number }[]>
}

/** Answers without a network: scripted, or an echo; faults on demand, seeded. */
export interface DummyOptions {
  /**
   * Used in order: a text, a whole answer in OpenAI's shape, a failure, or a fault, which in a stream comes after
   * `afterTokens` of its tokens (half of them by default). When they run out, the call fails with `ERR_EXHAUSTED`, unless
   * `repeat`. @default an echo of the last message
   */
  responses?: (
    | string
    | object
    | { error: { status?: number; message?: string; retryAfterMs?: number } }
    | { fault: Fault; afterTokens?: number }
  )[]
  /** Begin again when `responses` run out. @default false */
  repeat?: boolean
  /** Milliseconds before an answer begins, or the bounds between which they are drawn. @default 0 */
  latencyMs?: number | [min: number, max: number]
  /** Milliseconds between two tokens of a stream. @default 0 */
  tokenIntervalMs?: number
  /** Share of calls, from 0 to 1, that fail this way. @default none */
  faults?: FaultShares
  /** Dimensions of its embeddings, which depend only on the text. @default 8 */
  dimensions?: number
  /** Makes latencies and faults repeatable. @default 0 */
  seed?: number
  /**
   * Whether a cache keeps its answers. Otherwise scripted answers would not be used up, and one in a shared file would be
   * served as a real one; the cache is still read. @default false
   */
  cache?: boolean
}
