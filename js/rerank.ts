/** Reranking: which documents answer a query best. */

import { type Letter, contentOf } from './letter'
import type { Served } from './served'

/** The rerank body of Cohere, Jina and Voyage without `model`. What thryd does not know travels to the provider. */
export interface RerankRequest {
  /** What is looked for. */
  query: string
  /** Where. */
  documents: string[]
  /** How many of the best to give. @default all */
  top_n?: number
  [field: string]: unknown
}

/** Best first. */
export interface Ranking extends Served {
  /** `index` is the document's place in the request; a higher `score` is better. */
  results: { index: number; score: number }[]
}

/** Reads a ranking out of a letter. */
export function ranking(letter: Letter): Ranking {
  return contentOf(letter) as Ranking
}
