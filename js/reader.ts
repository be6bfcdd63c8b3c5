/**
 * The async iterator over something that comes in batches: what is there already is handed out without waiting, `next()` may
 * be called ahead, and after the end or an error it is over. Made by hand: an async generator costs three promises a value.
 */

/** What is read. */
export interface Source<Value> {
  /** What is there now: a value or the end; `undefined` if nothing is there yet. @throws the error it ended with, once */
  take(): IteratorResult<Value, undefined> | undefined
  /** Resolves when it is worth to `take` again. Never rejects. */
  more(): Promise<void>
  /** The reader left. */
  leave(): Promise<void>
}

/** The one reader of a source. */
export function readerOf<Value>(source: Source<Value>): AsyncIterableIterator<Value, undefined> {
  // Calls of `next()` that wait. They are served in order, each after the one before.
  let waiting = 0
  let last: Promise<unknown> | undefined

  async function arrive(before: Promise<unknown> | undefined): Promise<IteratorResult<Value, undefined>> {
    try {
      if (before !== undefined) await before.catch(() => undefined)
      for (;;) {
        const taken = source.take()
        if (taken !== undefined) return taken
        await source.more()
      }
    } finally {
      waiting -= 1
      if (waiting === 0) last = undefined
    }
  }

  // By this name the calls that wait hold it: a reader is dropped only when nobody waits for its next value either.
  const reader: AsyncIterableIterator<Value, undefined> = {
    next() {
      if (waiting === 0) {
        try {
          const taken = source.take()
          if (taken !== undefined) return Promise.resolve(taken)
        } catch (error) {
          return Promise.reject(error)
        }
      }
      waiting += 1
      const arrived = arrive(last)
      last = arrived
      return arrived
    },
    async return() {
      await source.leave()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return reader
    },
  }
  return reader
}

/** The end of an iteration. */
export const END: IteratorReturnResult<undefined> = { done: true, value: undefined }
