/** The bytes of a request's body, up to a limit. */

import { isUint8Array } from 'node:util/types'

import { unwatch, watch } from '../signal'

/** A body of which there are no bytes to be had: too long, or it cannot be read. */
export type NoBody = 'too-large' | 'unreadable'

/**
 * All of the body, of no more bytes than `limit`. `given` is what the request was made of, if anything was.
 * @throws the signal's reason
 */
export async function bodyOf(
  request: Request,
  given: unknown,
  limit: number,
  signal: AbortSignal,
): Promise<Uint8Array | NoBody> {
  if (typeof given === 'string') {
    // What clients give: there is nothing to wait for.
    const bytes = Buffer.from(given)
    return bytes.length > limit ? 'too-large' : bytes
  }
  if (request.body === null) return new Uint8Array()
  if (request.bodyUsed || request.body.locked) return 'unreadable'
  const reader = (request.body as ReadableStream<Uint8Array>).getReader()
  const leave = (): void => void reader.cancel(signal.reason).catch(() => undefined)
  watch(signal, leave)
  try {
    const pieces: Uint8Array[] = []
    let length = 0
    for (;;) {
      const { done, value } = await reader.read()
      signal.throwIfAborted()
      if (done) return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces, length)
      if (!isUint8Array(value)) {
        leave()
        return 'unreadable'
      }
      length += value.byteLength
      if (length > limit) {
        leave()
        return 'too-large'
      }
      pieces.push(value)
    }
  } catch {
    // Broken off; and if by the signal, it is the signal that says why.
    signal.throwIfAborted()
    return 'unreadable'
  } finally {
    unwatch(signal, leave)
  }
}
