/** Chunks of a streamed answer of the mock. */
export const CHUNKS = 200
