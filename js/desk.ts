/** Where the core puts the numbers of a hit (`src/node/line.rs`), whose text is all that crosses beside them. */

import type { Usage } from './served'

/** One for all: it is read before the core is asked again. */
export const desk = new Float64Array(13)

/** The places on it. */
export enum Place {
  /** How much of the text stands before the content in the provider's answer. */
  Before = 0,
  /** And how much after it. */
  After = 1,
  /** The numbers of words. */
  Deployment = 2,
  Model = 3,
  FinishReason = 4,
  LatencyMs = 5,
  PromptTokens = 6,
  CompletionTokens = 7,
  TotalTokens = 8,
  /** Not a number, if nobody said. */
  CachedPromptTokens = 9,
  ReasoningTokens = 10,
  Cost = 11,
  /** One, if they were counted here. */
  IsEstimated = 12,
}

/** The number at this place. */
export function at(place: Place): number {
  return desk[place] as number
}

/** The usage that is on the desk. */
export function usageOnDesk(): Usage {
  const usage: Usage = {
    promptTokens: at(Place.PromptTokens),
    completionTokens: at(Place.CompletionTokens),
    totalTokens: at(Place.TotalTokens),
  }
  const cached = at(Place.CachedPromptTokens)
  if (cached === cached) usage.cachedPromptTokens = cached
  const reasoning = at(Place.ReasoningTokens)
  if (reasoning === reasoning) usage.reasoningTokens = reasoning
  const cost = at(Place.Cost)
  if (cost === cost) usage.cost = cost
  if (at(Place.IsEstimated) === 1) usage.estimated = true
  return usage
}
