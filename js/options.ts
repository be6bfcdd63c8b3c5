/** What can be set: on a router, a group, a deployment, a call. `null` is absent; an unknown key is a TypeError that names it. */

import type { Cache, CacheOptions } from './cache'
import type { CustomProvider, ProviderOptions } from './provider'

/** What a router starts with; all of it can also be said later, by its methods. */
export interface RouterOptions {
  /** As `addProvider`, in order. */
  providers?: (ProviderOptions | CustomProvider)[]
  /** As `deploy` and `configureGroup`: the groups by name. A deployment is its model, or its options with the `model`. */
  groups?: Record<string, GroupOptions & { deployments: (string | ({ model: string } & DeployOptions))[] }>
  /** Path or options; opened on first use, or by `mountCache`. @default none */
  cache?: string | CacheOptions | Cache
  /**
   * Counts `rpm`, `tpm` and `maxConcurrent` of every deployment for all processes and machines that name the same Redis or
   * Valkey: its URL, or options with one. While it is away, each process goes on alone with its share of the limits, and
   * `stats()` says so. @default limits are this router's own
   */
  limits?: { redis: string | RedisLimitsOptions }
  /** When and how often a failed attempt is followed by another. */
  retry?: RetryOptions
  /** The clocks of every call; a call's own options win. */
  timeouts?: Timeouts
}

/** Which Redis limits are counted over, and how. */
export interface RedisLimitsOptions {
  /**
   * `redis://[user[:password]@]host[:port][/database]`, `rediss://` over TLS; `redis+sentinel://host,…/master` for whatever these
   * Sentinels call the master of that name; `redis+cluster://host,…`, or `redis://` with several hosts, for a Cluster; both
   * over TLS as `rediss+…`. Credentials are never shown.
   */
  url: string
  /** What all keys begin with: 1 to 64 bytes, without braces. @default 'thryd' */
  prefix?: string
  /**
   * How long one command may take before Redis counts as away, in milliseconds, 1 to 10,000. The very first one may take a
   * second, for connecting.
   * @default 100
   */
  timeoutMs?: number
  /** How long what a process holds is held for it without a sign of life, in milliseconds, 1,000 to 600,000. @default 10_000 */
  leaseMs?: number
  /**
   * How many processes share the limits, for as long as Redis has never been reached: a positive integer. Once it was, the number
   * that was alive last counts. @default 1
   */
  processes?: number
}

/**
 * Who is asked first among the deployments that are healthy and have room: the one deployed first; each in turn; the one with
 * the most room left; each in turn by `weight`; the one that has been answering fastest.
 */
export type Strategy = 'first-available' | 'round-robin' | 'least-loaded' | 'weighted' | 'lowest-latency'

/** How a group chooses. */
export interface GroupOptions {
  /** @default 'least-loaded' */
  strategy?: Strategy
  /** Groups to try, in order, when this one cannot answer. A cycle is refused. @default none */
  fallbacks?: string[]
}

/** What a deployment may spend, and what it is like. */
export interface DeployOptions {
  /** Requests in any 60 s: a positive integer. @default unlimited */
  rpm?: number
  /** Tokens in any 60 s, prompt and completion together: a positive integer. @default unlimited */
  tpm?: number
  /** Requests in flight at once: a positive integer. @default unlimited */
  maxConcurrent?: number
  /** Share under the strategy `'weighted'`, at least 0. @default 1 */
  weight?: number
  /** Longest context in tokens; longer requests are not sent here. @default unknown */
  contextWindow?: number
  /** USD per million tokens, for `usage.cost` and budgets. @default unknown */
  price?: { prompt: number; completion: number; cachedPrompt?: number }
  /**
   * The name that it stands under in the cache's key, in the place of `provider::model`: not empty. Groups whose deployments
   * stand under the same names share their answers, e.g. `'gpt-4o'` for both `openai::gpt-4o` and `azure::gpt-4o`.
   * @default `provider::model`
   */
  cacheAs?: string
}

/** When and how often a failed attempt is followed by another. */
export interface RetryOptions {
  /** Further attempts, all deployments together. @default 3 */
  maxRetries?: number
  /** Milliseconds before the first retry on the same deployment; doubles, jittered. @default 500 */
  baseDelayMs?: number
  /** Its bound in milliseconds; also the longest `Retry-After` that is waited for. @default 30_000 */
  maxDelayMs?: number
  /** Share of requests that may be retries over 10 s, on top of 10 a second. @default 0.2 */
  budget?: number
  /** Milliseconds of the first rest of a failing deployment; grows with every further one. @default 5_000 */
  cooldownMs?: number
  /**
   * Send a second attempt elsewhere when the first token takes longer than this quantile of recent ones, between 0 and 1, e.g.
   * 0.95. The one that says something first goes on, the other is cancelled; both are charged, and the second is a retry.
   * @default off
   */
  hedgeQuantile?: number
}

/** The clocks of a call, in milliseconds. One that runs out is a TimeoutError that names it, or a RateLimitError for `queueMs`. */
export interface Timeouts {
  /** Opening a connection. @default 10_000 */
  connectMs?: number
  /**
   * Headers and first token of one attempt. If it is set, `invoke` asks for a stream too, because a whole answer has no first
   * token. @default 60_000 for a stream, `attemptMs` for a whole answer
   */
  firstTokenMs?: number
  /** Gap between two tokens. @default 30_000 */
  idleMs?: number
  /** One attempt. @default 600_000 */
  attemptMs?: number
  /** The whole call, waiting included. @default none */
  totalMs?: number
  /** Waiting for a limit; 0 fails at once. @default 60_000 */
  queueMs?: number
}

/** What one call can set. */
export interface InvokeOptions extends Timeouts {
  /** Cancels the call: it rejects with `signal.reason`, and the socket is closed if nobody else wants the answer. */
  signal?: AbortSignal
  /**
   * fetch's words: `'reload'` asks anew and stores, `'no-store'` neither reads nor stores, `'only-if-cached'` never sends
   * (a miss is `ERR_NOT_CACHED`, as is a Redis that cannot be looked into within a second: the message says which). @default 'default'
   */
  cache?: 'default' | 'reload' | 'no-store' | 'only-if-cached'
  /** Milliseconds that the answer stays in the cache. @default the cache's `ttlMs` */
  cacheTtlMs?: number
  /** Tenants that must not see each other's answers. @default the cache's `namespace` */
  namespace?: string
  /** Higher goes first when calls wait for a limit. @default 0 */
  priority?: number
  /**
   * `false`: never two attempts at once, whatever `retry.hedgeQuantile` says, e.g. because the request makes the provider do
   * something that must not be done twice. @default true
   */
  hedge?: boolean
}

/** What one streamed call can set. */
export interface StreamOptions extends InvokeOptions {
  /**
   * After the first chunk, on failure: `'error'` ends with a typed error, `'restart'` begins again elsewhere and says so by a
   * `restart` chunk. @default 'error'
   */
  onInterrupt?: 'error' | 'restart'
  /** Assemble the answer before the first chunk, so that failover is invisible. @default false */
  buffer?: boolean
}

/** What a batch can set; the rest holds for each of its calls. */
export interface BatchOptions extends InvokeOptions {
  /** Calls under way at once: a positive integer. @default 64 */
  concurrency?: number
  /** Called as calls finish, whatever their order. What it throws ends the batch. */
  onProgress?: (progress: BatchProgress) => void
}

/** How far a batch is. */
export interface BatchProgress {
  /** Calls that finished, well or not. */
  done: number
  /** Of these, those that failed. */
  failed: number
  /** Of these, those that the cache answered. */
  cached: number
  /** How many there are, if the requests came as an array or a set. */
  total?: number
  /** Prompt and completion tokens spent so far; what the cache answered cost none. */
  tokens: number
  /** Milliseconds until the last one, at the pace so far; known with `total`. */
  etaMs?: number
}
