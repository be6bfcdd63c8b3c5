/** A streamed answer: one reader, who may leave; chunks come over in batches. */

import { type Completion, type CompletionChunk, completion } from './completion'
import { Incoming, type Pull } from './incoming'
import { type Letter, LetterKind, contentOf } from './letter'
import { failed, nextId } from './mailbox'
import { END, type Source, readerOf } from './reader'
import { type ModelResponse, modelResponse } from './response'
import { reasonOf, unwatch, watch } from './signal'

/**
 * An answer in pieces, for one reader: `for await (const chunk of stream)`. The call starts on the first `next()`; leaving the
 * loop cancels it and closes the socket. A failure ends the iteration with a typed error, never quietly.
 */
export interface CompletionStream extends AsyncIterable<CompletionChunk> {
  /**
   * The whole answer, when the iteration has ended; runs it if nobody has. Not to be awaited inside the loop, which it waits
   * for. @throws the error that ended the iteration; an AbortError if the reader left before the end
   */
  completion(): Promise<Completion>
}

/**
 * An answer of the Responses API in pieces, for one reader, as a `CompletionStream`: `content` is the text of its messages,
 * `reasoning` what it says of its thoughts, `tool-call` a piece of a call of a function or a custom tool.
 */
export interface ResponsesStream extends AsyncIterable<CompletionChunk> {
  /**
   * The whole answer, when the iteration has ended; runs it if nobody has. Not to be awaited inside the loop, which it waits
   * for. @throws the error that ended the iteration; an AbortError if the reader left before the end
   */
  response(): Promise<ModelResponse>
}

/** How the core is asked. */
export interface StreamCall {
  start(id: number): Letter | null
  pull: Pull
  /** Must not lead to the stream's reader, nor to anything of the user's: it is held until the reader is gone. */
  cancel: (id: number) => void
}

/** A stream that starts `call` when it is first read. */
export function completionStream(call: StreamCall, signal: AbortSignal | undefined): CompletionStream {
  return new OfCompletion(new Chunks(call, signal, completion))
}

/** The same of a model response. */
export function responsesStream(call: StreamCall, signal: AbortSignal | undefined): ResponsesStream {
  return new OfResponse(new Chunks(call, signal, modelResponse))
}

abstract class Stream<Answer> implements AsyncIterable<CompletionChunk> {
  readonly #chunks: Chunks<Answer>
  #isTaken = false

  constructor(chunks: Chunks<Answer>) {
    this.#chunks = chunks
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<CompletionChunk> {
    const { name } = this.constructor
    if (this.#isTaken) throw new TypeError(`a ${name} has one reader, and this one has been read already`)
    this.#isTaken = true
    const reader = readerOf(this.#chunks)
    this.#chunks.readBy(reader)
    return reader
  }

  protected async whole(): Promise<Answer> {
    if (!this.#isTaken) for await (const _ of this) this.#chunks.skip()
    return this.#chunks.whole()
  }
}

class OfCompletion extends Stream<Completion> implements CompletionStream {
  completion(): Promise<Completion> {
    return this.whole()
  }
}

class OfResponse extends Stream<ModelResponse> implements ResponsesStream {
  response(): Promise<ModelResponse> {
    return this.whole()
  }
}

// What inspection shows.
Object.defineProperty(OfCompletion, 'name', { value: 'CompletionStream' })
Object.defineProperty(OfResponse, 'name', { value: 'ResponsesStream' })

/** What remains of a stream when its reader was dropped without a word. */
interface Rest {
  id: number
  cancel: (id: number) => void
  chunks: WeakRef<Chunks<unknown>>
}

// Nothing that a `Rest` holds leads to the reader. The chunks are still there if a signal or the stream holds them.
const dropped = new FinalizationRegistry(({ id, cancel, chunks }: Rest) => {
  const left = chunks.deref()
  if (left !== undefined) void left.leave()
  else if (id !== 0) cancel(id)
})

/** An error that comes in a letter is made for who asks for it, and has his frames. */
type Outcome<Answer> = Settled<Answer> | { failure: Letter }
type Settled<Answer> = { answer: Answer } | { error: unknown }

class Chunks<Answer> implements Source<CompletionChunk> {
  readonly #call: StreamCall
  readonly #readAnswer: (letter: Letter) => Answer
  readonly #signal: AbortSignal | undefined
  readonly #onAbort = (): void => this.#end({ error: this.#signal && reasonOf(this.#signal) }, true)
  #id = 0
  #rest: Rest | undefined
  #batch: CompletionChunk[] = []
  #position = 0
  #incoming: Incoming | undefined
  /** Of a reader who waits. */
  #wake: (() => void) | undefined
  readonly #onLetter = (letter: Letter): void => {
    const wake = this.#wake
    this.#wake = undefined
    this.#read(letter)
    wake?.()
  }
  #outcome: Outcome<Answer> | undefined
  /** Whether the reader knows the outcome: an error is thrown once, and not at whoever left. */
  #isTold = false
  #watchers: (() => void)[] = []

  constructor(call: StreamCall, signal: AbortSignal | undefined, readAnswer: (letter: Letter) => Answer) {
    this.#call = call
    this.#signal = signal
    this.#readAnswer = readAnswer
  }

  /** When this reader is garbage, so is the call. */
  readBy(reader: object): void {
    this.#rest = { id: this.#id, cancel: this.#call.cancel, chunks: new WeakRef(this) }
    dropped.register(reader, this.#rest, this)
  }

  get isOver(): boolean {
    return this.#outcome !== undefined && this.#position >= this.#batch.length
  }

  take(): IteratorResult<CompletionChunk, undefined> | undefined {
    const chunk = this.#batch[this.#position]
    if (chunk !== undefined) {
      this.#position += 1
      return { done: false, value: chunk }
    }
    if (this.#outcome === undefined) return undefined
    const outcome = this.#settled(this.#outcome)
    if ('error' in outcome && !this.#isTold) {
      this.#isTold = true
      throw outcome.error
    }
    return END
  }

  more(wake: () => void): boolean {
    if (this.#outcome !== undefined) return true
    const first = this.#incoming === undefined ? this.#start() : undefined
    const letter = first ?? this.#incoming?.next(this.#onLetter)
    if (letter !== undefined) this.#read(letter)
    else if (this.#outcome === undefined) {
      this.#wake = wake
      return false
    }
    return true
  }

  async leave(): Promise<void> {
    this.#isTold = true
    this.#end({ error: new DOMException('the stream was left before its end', 'AbortError') }, this.#id !== 0)
  }

  /** Drops what has arrived and was not taken. */
  skip(): void {
    this.#position = this.#batch.length
  }

  /** The whole answer, once there is one. */
  async whole(): Promise<Answer> {
    if (this.#outcome === undefined) await new Promise<void>((resolve) => this.#watchers.push(resolve))
    const outcome = this.#settled(this.#outcome as Outcome<Answer>)
    if ('error' in outcome) throw outcome.error
    return outcome.answer
  }

  #settled(outcome: Outcome<Answer>): Settled<Answer> {
    return 'failure' in outcome ? (this.#outcome = { error: failed(outcome.failure) }) : outcome
  }

  /** A letter, if the call is refused. */
  #start(): Letter | undefined {
    if (this.#signal?.aborted) {
      this.#end({ error: reasonOf(this.#signal) }, false)
      return undefined
    }
    if (this.#signal) watch(this.#signal, this.#onAbort)
    this.#id = nextId()
    if (this.#rest !== undefined) this.#rest.id = this.#id
    const refusal = this.#call.start(this.#id)
    if (refusal !== null) return refusal
    this.#incoming = new Incoming(this.#id, this.#call.pull)
    return undefined
  }

  #read(letter: Letter): void {
    switch (letter.kind) {
      case LetterKind.Chunks:
      case LetterKind.More:
        this.#batch = contentOf(letter) as CompletionChunk[]
        this.#position = 0
        break
      case LetterKind.Failed:
        this.#end({ failure: letter }, false)
        break
      default:
        this.#end({ answer: this.#readAnswer(letter) }, false)
    }
  }

  #end(outcome: Outcome<Answer>, isCancelled: boolean): void {
    if (this.#outcome !== undefined) return
    this.#outcome = outcome
    dropped.unregister(this)
    if (this.#signal) unwatch(this.#signal, this.#onAbort)
    if (isCancelled) {
      this.#call.cancel(this.#id)
      this.#batch = []
    }
    this.#incoming?.leave()
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
    for (const tell of this.#watchers.splice(0)) tell()
  }
}
