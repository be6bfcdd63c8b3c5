/** How long this process stood still: what a clock says of that time says nothing of what is tested. */

/** Looks again and again how late the event loop is. */
export class Stalls {
  readonly #intervalMs: number
  readonly #timer: NodeJS.Timeout
  readonly #seen: { at: number; lateMs: number }[] = []
  #last = performance.now()

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs
    this.#timer = setInterval(() => this.#look(), intervalMs)
  }

  /** The longest of those that were over between these moments, in milliseconds. */
  longest(since: number, until = Infinity): number {
    // One may have ended just now, before the timers had their turn.
    this.#look()
    return Math.max(0, ...this.#seen.filter(({ at }) => at >= since && at <= until).map(({ lateMs }) => lateMs))
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const at = performance.now()
    const lateMs = at - this.#last - this.#intervalMs
    // A timer is never on time to the millisecond.
    if (lateMs > this.#intervalMs) this.#seen.push({ at, lateMs })
    this.#last = at
  }
}
