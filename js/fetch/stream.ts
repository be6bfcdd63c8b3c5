/** A streamed answer as the body of a response: pulled by its reader, so that who pauses is waited for. */

import { Incoming, type Pull } from '../incoming'
import { type Letter, LetterKind } from '../letter'
import { failed } from '../mailbox'
import { unwatch, watch } from '../signal'

/** How the core is asked. */
export interface Source {
  pull: Pull
  /** Must not lead to the stream: it is held until the stream is gone. */
  cancel: (id: number) => void
}

type Controller = ReadableStreamDefaultController<Uint8Array>

/** What remains of a body that was dropped without a word. */
interface Rest {
  id: number
  cancel: (id: number) => void
}

const dropped = new FinalizationRegistry(({ id, cancel }: Rest) => cancel(id))
const encoder = new TextEncoder()

/** The body that begins with `first`. It ends only after a whole answer; else it errors. */
export function streamOf(first: Letter, source: Source, signal: AbortSignal): ReadableStream<Uint8Array> {
  const body = new Body(first, source, signal)
  // Nothing is read ahead: what the reader does not want yet is the core's to hold.
  const stream = new ReadableStream<Uint8Array>(body, { highWaterMark: 0 })
  dropped.register(stream, { id: first.id, cancel: source.cancel }, body)
  return stream
}

class Body {
  readonly #id: number
  readonly #source: Source
  readonly #incoming: Incoming
  readonly #signal: AbortSignal
  readonly #onAbort = (): void => {
    this.#leave()
    this.#controller?.deref()?.error(this.#signal.reason)
  }
  #ready: Letter | undefined
  /** Weak, because the signal may live on: it must not hold a body that nobody reads. */
  #controller: WeakRef<Controller> | undefined
  #error: { reason: unknown } | undefined
  #isOver = false
  #wake: (() => void) | undefined

  constructor(first: Letter, source: Source, signal: AbortSignal) {
    this.#ready = first
    this.#id = first.id
    this.#source = source
    this.#incoming = new Incoming(first.id, source.pull)
    this.#signal = signal
  }

  start(controller: Controller): void {
    this.#controller = new WeakRef(controller)
    if (this.#signal.aborted) this.#onAbort()
    else watch(this.#signal, this.#onAbort)
  }

  pull(controller: Controller): Promise<void> | undefined {
    if (this.#error !== undefined) return this.#break(this.#error.reason, controller)
    const onLetter = (mail: Letter): void => {
      this.#give(mail, controller)
      this.#wake?.()
    }
    const letter = this.#ready ?? this.#incoming.next(onLetter)
    this.#ready = undefined
    if (letter !== undefined) {
      this.#give(letter, controller)
      return undefined
    }
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  cancel(): void {
    this.#leave()
  }

  /** A turn later: a server writes at the end of a turn, and an error takes back what it has not written. */
  #break(reason: unknown, controller: Controller): Promise<void> {
    return new Promise((resolve) => {
      setImmediate(() => {
        controller.error(reason)
        resolve()
      })
    })
  }

  #give(letter: Letter, controller: Controller): void {
    if (this.#isOver) return
    if (letter.raw) controller.enqueue(encoder.encode(letter.raw))
    if (letter.kind === LetterKind.Chunks || letter.kind === LetterKind.More) return
    this.#end()
    if (letter.kind === LetterKind.End) controller.close()
    else if (letter.raw)
      // With the next read: an error now would take back what was just given, which says why.
      this.#error = { reason: failed(letter) }
    else controller.error(failed(letter))
  }

  #leave(): void {
    if (this.#isOver) return
    this.#end()
    this.#incoming.leave()
    this.#source.cancel(this.#id)
    this.#wake?.()
  }

  #end(): void {
    this.#isOver = true
    dropped.unregister(this)
    unwatch(this.#signal, this.#onAbort)
  }
}
