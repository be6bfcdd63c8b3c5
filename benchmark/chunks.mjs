/** Chunks of a streamed answer of the mock. */
export const CHUNKS = 200

/** Vectors of an embedding answer of the mock, and how long each is. */
export const VECTORS = 256
export const DIMENSIONS = 1536

/** What a prompt says to have a chunk sent every so many milliseconds, each with the time at which it was sent. */
export const every = (milliseconds) => `one chunk every ${milliseconds} ms`

/** Now, in microseconds, on the one clock that all processes of the machine share. */
export const microsecondsNow = () => Number(process.hrtime.bigint() / 1000n)
