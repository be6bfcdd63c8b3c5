/** Embeddings: what is asked, and the vectors that come back. */

import { type Letter, contentOf } from './letter'
import type { Served } from './served'

/** OpenAI's embeddings body without `model`. What thryd does not know travels to the provider. */
export interface EmbeddingRequest {
  /** One text or several. Split into as many requests as the provider's limits need. */
  input: string | string[]
  /** Length of the vectors, for models that can shorten them. */
  dimensions?: number
  [field: string]: unknown
}

/** One vector per input, in the order of the inputs; each input is cached on its own. */
export interface Embeddings extends Served {
  /** The vectors. */
  vectors: Float32Array[]
}

/** Reads embeddings out of a letter. Each vector owns its memory, so one of them can be transferred or kept alone. */
export function embeddings(letter: Letter): Embeddings {
  const served = contentOf(letter) as Served
  return { vectors: split(letter.vectors ?? new Float32Array(), letter.dimensions ?? 0), ...served }
}

function split(flat: Float32Array, dimensions: number): Float32Array[] {
  if (dimensions === 0) return []
  // The addon makes arrays of the realm that it was loaded in first. In Jest that is not the one of the tests.
  const own = flat instanceof Float32Array ? flat : view(flat)
  if (own.length === dimensions) return [own]
  return Array.from({ length: own.length / dimensions }, (_, index) =>
    own.slice(index * dimensions, (index + 1) * dimensions),
  )
}

function view({ buffer, byteOffset, length }: Float32Array): Float32Array {
  return new Float32Array(buffer, byteOffset, length)
}
