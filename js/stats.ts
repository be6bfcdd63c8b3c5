/** What a router can be asked about itself at any time. */

import type { CacheStats } from './cache'
import type { Attempt } from './served'

/** A router at one moment. Counters run from the router's creation. */
export interface RouterStats {
  /** Calls that have begun and not ended, waiting ones included. */
  inFlight: number
  /** Calls that wait for a limit. */
  waiting: number
  /** By group name. */
  groups: Record<string, { waiting: number; deployments: DeploymentStats[] }>
  /**
   * By provider name, those with limits of their own: what everybody in this process who shares them has in flight, and has
   * spent or reserved in the last 60 s. Absent if there are none.
   */
  providers?: Record<
    string,
    {
      inFlight: number
      window: { requests: number; tokens: number }
      limits: { rpm?: number; tpm?: number; maxConcurrent?: number }
    }
  >
  /** Of the cache, if one is mounted. */
  cache?: CacheStats
  /** How limits are counted, if over Redis. */
  limits?: { redis: RedisLimitsStats }
}

/** A Redis that limits are counted over, at one moment. */
export interface RedisLimitsStats {
  /** Where it is, without credentials. */
  url: string
  /**
   * `'idle'`: not needed yet. `'connected'`: limits are counted together with other processes. `'local'`: Redis is away, or refuses,
   * and this process goes on alone with its share of the limits: each limit divided by `processes`, and at least 1.
   */
  status: 'idle' | 'connected' | 'local'
  /** For how long it has been so, in milliseconds. */
  forMs: number
  /** Processes that were alive when Redis was last heard of. */
  processes: number
  /** Why it is `'local'`. */
  error?: string
}

/** One deployment at one moment. */
export interface DeploymentStats {
  /** `provider::model`. */
  model: string
  /** Calls sent and not answered yet. */
  inFlight: number
  /** Spent or reserved in the last 60 s. */
  window: { requests: number; tokens: number }
  /** As given to `deploy`. */
  limits: { rpm?: number; tpm?: number; maxConcurrent?: number }
  /** Per minute, what the provider named in the headers of its answers of the last hour; in force where it is tighter. */
  learned: { rpm?: number; tpm?: number }
  /** Values of headers about limits that made no sense and were left out. */
  ignoredHeaders: number
  /** Attempts that answered. */
  succeeded: number
  /** Attempts that did not. */
  failed: number
  /** Tokens of all requests that were answered. */
  promptTokens: number
  /** Tokens of all answers. */
  completionTokens: number
  /** US dollars, if the deployment has a `price`. */
  cost: number
  /** Milliseconds to a whole answer, recent ones: half, 95 % and 99 % were faster. */
  latencyMs: { p50: number; p95: number; p99: number }
  /** Milliseconds to the first token, recent ones. */
  firstTokenMs: { p50: number; p95: number; p99: number }
  /** `'open'` rests for `restMs`; `'half-open'` has rested and is tried with one call at a time; `'closed'` is used. */
  circuit: 'closed' | 'open' | 'half-open'
  /** Milliseconds until it may be used again; 0 is now. */
  restMs: number
  /**
   * Why it rests, or is tried: how the attempt ended that put it to rest, in the words of {@link Attempt.outcome}. Absent while
   * `circuit` is `'closed'`.
   */
  restReason?: Exclude<Attempt['outcome'], 'ok' | 'rejected' | 'too-long' | 'cancelled'>
  /** The same in the provider's own words. `lastError` may be about something else that went wrong since. */
  restError?: string
  /** How many calls it takes at once while it ramps up after a rest; absent if it takes all. */
  rampLimit?: number
  /** What went wrong last, if anything did. */
  lastError?: string
}
