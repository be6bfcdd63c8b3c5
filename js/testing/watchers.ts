/** Tests that wait for something to become true. */

/** What is waited for, without what says that it has not come. */
export type Truthy<Value> = Exclude<Value, undefined | null | false | 0 | ''>

interface Watcher {
  check: () => void
}

/** Asks those who wait, whenever something has changed. */
export class Watchers {
  readonly #waiting = new Set<Watcher>()

  /** Something has changed. */
  changed(): void {
    if (this.#waiting.size === 0) return
    for (const { check } of this.#waiting) check()
  }

  /** Done when `predicate` gives something true; gives that. Fails with what it throws, and when the time is up. */
  until<Value>(predicate: () => Value, limitMs: number, state: () => string): Promise<Truthy<Value>> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(watcher)
      }
      const watcher: Watcher = {
        check: () => {
          try {
            const value = predicate()
            if (!value) return
            stop()
            resolve(value as Truthy<Value>)
          } catch (error) {
            stop()
            reject(error as Error)
          }
        },
      }
      const timer = setTimeout(() => {
        stop()
        reject(new Error(`what was waited for has not come within ${limitMs} ms: ${state()}`))
      }, limitMs)
      this.#waiting.add(watcher)
      watcher.check()
    })
  }
}
