/** Many calls, some at once: results in order, failures in their place. */

import { type CallSite, callSite } from './errors'
import { callback, describe, signalOf } from './encode'
import type { Letter } from './letter'
import { follow, hold, letGo, nextId, unfollow } from './mailbox'
import type { BatchOptions } from './options'
import { END, type Source, readerOf } from './reader'
import type { Served } from './served'
import type { Spoken } from './spelling'
import { reasonOf, unwatch, watch } from './signal'

const CONCURRENCY = 64
/** Results that are kept ahead of the reader, per call under way: a slow call must not idle the others, nor a slow reader fill the memory. */
const AHEAD = 16

/** How the core is asked. */
export interface BatchCall<Request, Response> {
  /** @throws TypeError if the request is not one */
  encode(request: Request): Spoken
  begin(id: number, body: Spoken): Letter | string | null
  cancel(id: number): void
  /** Before the core is asked again. @throws the error that the letter brings, with the frames of `site` */
  read(letter: Letter | string, site: CallSite): Response
}

type Requests<Request> = Iterable<Request> | AsyncIterable<Request>
/** The face's own part of the options; the rest goes to the core with each call. */
type Own = Pick<BatchOptions, 'signal' | 'concurrency' | 'onProgress'>

/** The results of `requests`, which are begun when the first result is asked for. */
export function batch<Request, Response>(
  requests: Requests<Request>,
  options: Own,
  call: BatchCall<Request, Response>,
  method: Function,
): AsyncIterable<Response | Error> {
  const run = new Batch(requests, options, call, callSite(method))
  let isTaken = false
  return {
    [Symbol.asyncIterator]() {
      if (isTaken) throw new TypeError('a batch has one reader, and this one has been read already')
      isTaken = true
      const reader = readerOf(run)
      run.readBy(reader)
      return reader
    },
  }
}

/** A batch, as far as somebody has to end it when its reader was dropped without a word. */
interface Left {
  leave(): Promise<void>
}

// A batch does not lead to its reader, unless that waits for it.
const dropped = new FinalizationRegistry((left: Left) => {
  left.leave().catch(() => undefined)
})

/** The place of one result. */
interface Slot<Response> {
  result?: Response | Error
  /** The source of the requests failed here. */
  fatal?: { error: unknown }
}

class Batch<Request, Response> implements Source<Response | Error> {
  readonly #call: BatchCall<Request, Response>
  readonly #site: CallSite
  readonly #requests: Iterator<Request> | AsyncIterator<Request>
  readonly #isAsync: boolean
  readonly #concurrency: number
  readonly #signal: AbortSignal | undefined
  readonly #onProgress: BatchOptions['onProgress']
  readonly #total: number | undefined
  readonly #onAbort = (): void => this.#stop({ error: this.#signal && reasonOf(this.#signal) })
  readonly #slots: Slot<Response>[] = []
  readonly #inFlight = new Set<number>()
  readonly #progress = { done: 0, failed: 0, cached: 0, tokens: 0 }
  #startedAt: number | undefined
  #isReading = false
  #isRead = false
  #outcome: { error?: unknown } | undefined
  #wake: (() => void) | undefined
  #isHolding = false

  constructor(requests: Requests<Request>, options: Own, call: BatchCall<Request, Response>, site: CallSite) {
    this.#call = call
    this.#site = site
    this.#signal = signalOf(options.signal)
    this.#concurrency = concurrencyOf(options.concurrency)
    this.#onProgress = callback('options.onProgress', options.onProgress)
    const { iterator, isAsync } = iteratorOf(requests)
    this.#requests = iterator
    this.#isAsync = isAsync
    this.#total = Array.isArray(requests) ? requests.length : requests instanceof Set ? requests.size : undefined
  }

  /** When this reader is garbage, the rest is cancelled. */
  readBy(reader: object): void {
    dropped.register(reader, this, this)
  }

  /** Its errors are others'. */
  get isOver(): boolean {
    return false
  }

  take(): IteratorResult<Response | Error, undefined> | undefined {
    if (this.#startedAt === undefined) this.#start()
    this.#fill()
    if (this.#outcome === undefined) {
      const [slot] = this.#slots
      if (slot?.result !== undefined) {
        this.#slots.shift()
        return { done: false, value: slot.result }
      }
      if (slot?.fatal !== undefined) this.#stop(slot.fatal)
      else if (slot === undefined && this.#isRead) this.#stop({})
      else return undefined
    }
    if (this.#outcome !== undefined && 'error' in this.#outcome) {
      const { error } = this.#outcome
      this.#outcome = {}
      throw error
    }
    return END
  }

  more(wake: () => void): boolean {
    this.#wake = wake
    this.#hold()
    return false
  }

  /** Forgets the reader first: a batch leads to it only while it waits. */
  #rouse(): void {
    const wake = this.#wake
    if (wake === undefined) return
    this.#wake = undefined
    try {
      wake()
    } finally {
      this.#hold()
    }
  }

  /** The event loop is held while a reader waits for calls: not by calls that nobody waits for, nor for requests to come. */
  #hold(): void {
    const isNeeded = this.#wake !== undefined && this.#inFlight.size > 0
    if (isNeeded === this.#isHolding) return
    this.#isHolding = isNeeded
    if (isNeeded) hold()
    else letGo()
  }

  async leave(): Promise<void> {
    await this.#end({})
  }

  #start(): void {
    this.#startedAt = performance.now()
    if (this.#signal?.aborted) this.#onAbort()
    else if (this.#signal) watch(this.#signal, this.#onAbort)
  }

  /** Begins as many calls as may be under way. */
  #fill(): void {
    const room = this.#concurrency * AHEAD
    while (
      this.#outcome === undefined &&
      !this.#isReading &&
      !this.#isRead &&
      this.#inFlight.size < this.#concurrency &&
      this.#slots.length < room
    ) {
      if (this.#isAsync) this.#readLater()
      else this.#readNow()
    }
  }

  #readNow(): void {
    try {
      this.#accept((this.#requests as Iterator<Request>).next())
    } catch (error) {
      this.#breakOff(error)
    }
  }

  #readLater(): void {
    this.#isReading = true
    const step = (async () => await this.#requests.next())()
    step
      .then(
        (result) => this.#accept(result),
        (error: unknown) => this.#breakOff(error),
      )
      .finally(() => {
        this.#isReading = false
        this.#fill()
        this.#rouse()
      })
  }

  #breakOff(error: unknown): void {
    this.#isRead = true
    this.#slots.push({ fatal: { error } })
  }

  #accept(step: IteratorResult<Request>): void {
    if (this.#outcome !== undefined) return
    if (step.done) this.#isRead = true
    else this.#begin(step.value)
  }

  #begin(request: Request): void {
    const slot: Slot<Response> = {}
    this.#slots.push(slot)
    const id = nextId()
    try {
      const body = this.#call.encode(request)
      // Which runs code of the caller's, and that may have ended the batch.
      if (this.#outcome !== undefined) return
      const letter = this.#call.begin(id, body)
      if (letter !== null) {
        this.#settle(slot, () => this.#call.read(letter, this.#site))
        return
      }
    } catch (error) {
      this.#settle(slot, () => {
        throw error
      })
      return
    }
    this.#inFlight.add(id)
    this.#hold()
    follow(id, (letter) => {
      unfollow(id)
      this.#inFlight.delete(id)
      this.#settle(slot, () => this.#call.read(letter, this.#site))
      this.#fill()
      this.#rouse()
    })
  }

  #settle(slot: Slot<Response>, read: () => Response): void {
    const progress = this.#progress
    progress.done += 1
    try {
      const response = read()
      slot.result = response
      const { cache, usage } = response as unknown as Served
      if (cache === 'memory' || cache === 'disk' || cache === 'redis') progress.cached += 1
      else if (cache !== 'joined') progress.tokens += usage.totalTokens
    } catch (error) {
      progress.failed += 1
      slot.result = error as Error
    }
    if (this.#onProgress) this.#report(this.#onProgress)
  }

  #report(onProgress: NonNullable<BatchOptions['onProgress']>): void {
    const total = this.#total
    const { done } = this.#progress
    const pace = (performance.now() - (this.#startedAt ?? 0)) / done
    try {
      onProgress({ ...this.#progress, ...(total !== undefined && { total, etaMs: Math.max(0, total - done) * pace }) })
    } catch (error) {
      this.#stop({ error })
    }
  }

  /** Ends it where nobody waits for the source to close: what that throws has nobody to go to. */
  #stop(outcome: { error?: unknown }): void {
    this.#end(outcome).catch(() => undefined)
  }

  async #end(outcome: { error?: unknown }): Promise<void> {
    if (this.#outcome !== undefined) return
    this.#outcome = outcome
    dropped.unregister(this)
    if (this.#signal) unwatch(this.#signal, this.#onAbort)
    // The last first, as in `signal.ts`.
    for (const id of [...this.#inFlight].toReversed()) {
      unfollow(id)
      this.#call.cancel(id)
    }
    this.#inFlight.clear()
    this.#slots.length = 0
    this.#rouse()
    if (this.#isRead) return
    this.#isRead = true
    const returned = (async () => await this.#requests.return?.())()
    // A source that is being waited for may never come back from it; whoever leaves must not wait for that.
    if (this.#isReading) returned.catch(() => undefined)
    else await returned
  }
}

function iteratorOf<Request>(requests: Requests<Request>): {
  iterator: Iterator<Request> | AsyncIterator<Request>
  isAsync: boolean
} {
  if (typeof requests === 'object' && requests !== null) {
    if (Symbol.asyncIterator in requests) return { iterator: requests[Symbol.asyncIterator](), isAsync: true }
    if (Symbol.iterator in requests) return { iterator: requests[Symbol.iterator](), isAsync: false }
  }
  throw new TypeError(`requests: expected an iterable or an async iterable, got ${describe(requests)}`)
}

function concurrencyOf(value: unknown): number {
  if (value === undefined || value === null) return CONCURRENCY
  const expected = `options.concurrency: expected an integer from 1 to ${Number.MAX_SAFE_INTEGER}, got ${describe(value)}`
  if (typeof value !== 'number') throw new TypeError(expected)
  if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(expected)
  return value
}
