/** The bytes of a request's body, up to a limit. */

import { unwatch, watch } from '../signal'

/**
 * All of the body; `undefined` if it is longer than `limit`. `given` is what the request was made of, if anything was.
 * @throws the signal's reason, and what reading throws
 */
export async function bodyOf(
  request: Request,
  given: unknown,
  limit: number,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  if (typeof given === 'string') {
    // What clients give: there is nothing to wait for.
    const bytes = Buffer.from(given)
    return bytes.length > limit ? undefined : bytes
  }
  if (request.body === null) return new Uint8Array()
  const reader = (request.body as ReadableStream<Uint8Array>).getReader()
  const leave = (): void => void reader.cancel(signal.reason).catch(() => undefined)
  watch(signal, leave)
  try {
    const pieces: Uint8Array[] = []
    let length = 0
    for (;;) {
      const { done, value } = await reader.read()
      signal.throwIfAborted()
      if (done) return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces, length)
      length += value.byteLength
      if (length > limit) {
        leave()
        return undefined
      }
      pieces.push(value)
    }
  } finally {
    unwatch(signal, leave)
  }
}
