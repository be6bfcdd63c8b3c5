/**
 * The async iterator over something that comes in batches: what is there already is handed out without waiting, `next()` may
 * be called ahead, and after the end or an error it is over. Made by hand, one promise for each `next()` and nothing between
 * that and what it waits for: an async generator costs three promises a value.
 */

/** What is read. */
export interface Source<Value> {
  /** Whether there is nothing to come but what `take` says at the end, and that can be made later. */
  readonly isOver: boolean
  /** What is there now: a value or the end; `undefined` if nothing is there yet. @throws the error it ended with, once */
  take(): IteratorResult<Value, undefined> | undefined
  /** Whether it is worth to `take` again at once; if not, `wake` is called when it is. */
  more(wake: () => void): boolean
  /** The reader left. */
  leave(): Promise<void>
}

type Step<Value> = IteratorResult<Value, undefined>

/** The one reader of a source. */
export function readerOf<Value>(source: Source<Value>): AsyncIterableIterator<Value, undefined> {
  // Calls of `next()` that wait, in their order.
  const waiting: ((step: Step<Value> | Promise<Step<Value>>) => void)[] = []
  let isAsking = false
  let endings = 0

  function serve(): void {
    isAsking = false
    while (waiting.length > 0) {
      const step = taken()
      if (step !== undefined) waiting.shift()?.(step)
      else if (!source.more(serve)) {
        isAsking = true
        return
      }
    }
  }

  function taken(): Step<Value> | Promise<Step<Value>> | undefined {
    if (source.isOver) return ending()
    try {
      return source.take()
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The end, made when V8 knows who awaits it: an error has their frames. */
  async function ending(): Promise<Step<Value>> {
    endings += 1
    try {
      await undefined
      await undefined
      return source.take() ?? END
    } finally {
      endings -= 1
    }
  }

  // By this name the calls that wait hold it: a reader is dropped only when nobody waits for its next value either.
  const reader: AsyncIterableIterator<Value, undefined> = {
    next() {
      if (waiting.length === 0 && endings === 0) {
        try {
          const step = source.take()
          if (step !== undefined) return Promise.resolve(step)
        } catch (error) {
          return Promise.reject(error)
        }
      }
      return new Promise((resolve) => {
        waiting.push(resolve)
        if (!isAsking) serve()
      })
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
