// What every answer says about how it came about.

/** What all answers have in common. */
export interface Served {
  /** The deployment that answered, `provider::model`. */
  deployment: string
  /** The model name that the provider reported. */
  model: string
  /** Tokens, and what they cost. */
  usage: Usage
  /**
   * Where the answer came from: `'memory'`, `'disk'` and `'redis'` are the cache's levels; `'joined'` shared the call of an
   * equal request that was under way, here or, with the cache's `join`, in another process; `'miss'` was asked of a provider and is kept, if it is complete and of the group itself;
   * `'off'` was asked without a cache, or of a dummy, whose answers are only kept if its options say so.
   */
  cache: 'memory' | 'disk' | 'redis' | 'joined' | 'miss' | 'off'
  /** Every try on a deployment, in order, the last one being the one that answered. Empty on a cache hit. */
  attempts: Attempt[]
  /** Milliseconds from call to answer, waiting included. */
  latencyMs: number
  /** Of that, milliseconds spent waiting for a limit. */
  queuedMs: number
  /** Its place in the line when it came: 1 was next; 0 did not stand in it. */
  queuePosition: number
}

/** What one answer used. */
export interface Usage {
  /** Tokens of the request. */
  promptTokens: number
  /** Tokens of the answer, reasoning included. */
  completionTokens: number
  /** Both together. */
  totalTokens: number
  /** Of the prompt's tokens, those that the provider had in its own cache. */
  cachedPromptTokens?: number
  /** Of the completion's tokens, those spent on reasoning. */
  reasoningTokens?: number
  /** US dollars, if the deployment has a `price`. */
  cost?: number
  /** Present if the provider reported nothing and the numbers are thryd's own count. */
  estimated?: true
}

/** One try on one deployment. */
export interface Attempt {
  /** `provider::model`. */
  deployment: string
  /** Milliseconds from the start of the call to the start of the attempt. */
  startedMs: number
  /** Milliseconds that it took. */
  durationMs: number
  /** How it ended: `'ok'`, or the class of its failure. */
  outcome:
    | 'ok'
    | 'rate-limited'
    | 'transient'
    | 'silent'
    | 'truncated'
    | 'auth'
    | 'quota'
    | 'too-long'
    | 'rejected'
    | 'cancelled'
  /** HTTP status, if there was an answer. */
  status?: number
  /** What went wrong, if anything did. */
  message?: string
}
