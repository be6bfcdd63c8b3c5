/** How long this process stood still: what a clock says of that time says nothing of what is tested. */

/** Looks again and again how late the event loop is, and how late somebody else is, who is asked for what takes no time. */
export class Stalls {
  readonly #intervalMs: number
  readonly #timer: NodeJS.Timeout
  readonly #seen: { at: number; lateMs: number }[] = []
  #last = performance.now()
  /** When the other was asked for what has not come yet. */
  #asked: number | undefined

  constructor(intervalMs: number, ask?: () => Promise<unknown>) {
    this.#intervalMs = intervalMs
    this.#timer = setInterval(() => {
      this.#look()
      if (ask !== undefined && this.#asked === undefined) void this.#wait(ask)
    }, intervalMs)
  }

  /** The longest of those that were over between these moments, in milliseconds. */
  longest(since: number, until = Infinity): number {
    // One may have ended just now, before the timers had their turn.
    this.#look()
    if (this.#asked !== undefined) this.#note(performance.now() - this.#asked)
    return Math.max(0, ...this.#seen.filter(({ at }) => at >= since && at <= until).map(({ lateMs }) => lateMs))
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const at = performance.now()
    this.#note(at - this.#last - this.#intervalMs)
    this.#last = at
  }

  async #wait(ask: () => Promise<unknown>): Promise<void> {
    const asked = performance.now()
    this.#asked = asked
    await ask()
    this.#asked = undefined
    this.#note(performance.now() - asked)
  }

  #note(lateMs: number): void {
    // Nothing is on time to the millisecond.
    if (lateMs > 10) this.#seen.push({ at: performance.now(), lateMs })
  }
}
