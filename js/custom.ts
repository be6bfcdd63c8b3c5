/** Providers written in JavaScript: the core asks them by mail, and hears the answer, or each piece of it, by `customReply`. */

import { inspect } from 'node:util'

import { describe, encodeAnswer, encodeOptions, text } from './encode'
import { type Letter, LetterKind, contentOf } from './letter'
import { onCall } from './mailbox'
import type { Kind, NativeRouter } from './native'
import type { CustomProvider, ProviderOptions } from './provider'
import { valueOf } from './reply'

/** What a letter of kind `Call` says. */
interface CustomCall {
  /** The number that came with `addCustomProvider`: a provider's own, so that a call finds the one that it was made for. */
  router: number
  provider: string
  kind: Kind
  request: object
  stream: boolean
}

type Answer = AsyncIterable<unknown> | Promise<unknown>
type Method = (request: object, context: { signal: AbortSignal }) => Answer

const METHODS = {
  completion: 'complete',
  response: 'respond',
  embedding: 'embed',
  rerank: 'rerank',
} as const satisfies Record<Kind, string>
const KINDS = Object.keys(METHODS) as Kind[]

/** Whether a provider is code, as opposed to options. */
export function isCustom(provider: ProviderOptions | CustomProvider): provider is CustomProvider {
  if (typeof provider !== 'object' || provider === null) return false
  return KINDS.some((kind) => typeof (provider as CustomProvider)[METHODS[kind]] === 'function')
}

// The mail names a provider by its number. Its router is weakly held: whoever waits for an answer holds the router itself.
const owners = new Map<number, WeakRef<CustomProviders>>()
const gone = new FinalizationRegistry((provider: number) => owners.delete(provider))
let lastProvider = 0

/** A call that a provider is working on. */
interface Running {
  readonly controller: AbortController
  /** Wakes whoever waits for room, or for the call's end. */
  resume: () => void
}

const running = new Map<number, Running>()

/** So many pieces are taken at a time: a provider that never waits must not keep the event loop from everybody else. */
const PIECES_A_TURN = 64

const nothing = (): void => undefined

/** The custom providers of one router. */
export class CustomProviders {
  readonly #native: NativeRouter
  readonly #providers = new Map<number, CustomProvider>()
  readonly #numbers = new Map<string, number>()
  /** Numbers of providers that were taken away or replaced: calls in flight may still be theirs. */
  readonly #retired = new Set<number>()

  constructor(router: NativeRouter) {
    this.#native = router
  }

  /** @throws TypeError if it has no name, RangeError if its limits are none, or whatever else the core finds wrong */
  add(provider: CustomProvider, caller: Function): void {
    const name = text('provider.name', provider.name)
    const kinds = KINDS.filter((kind) => typeof provider[METHODS[kind]] === 'function')
    // Only these: the object is the caller's own, and may have anything else in it.
    const { rpm, tpm, maxConcurrent } = provider
    const limits = encodeOptions('provider', { rpm, tpm, maxConcurrent })
    const number = lastProvider + 1
    valueOf(this.#native.addCustomProvider(name, kinds, number, limits), caller)
    lastProvider = number
    this.remove(name)
    this.#numbers.set(name, number)
    this.#providers.set(number, provider)
    owners.set(number, new WeakRef(this))
    gone.register(this, number)
  }

  /** Calls that begin from now on do not ask it; those in flight do. */
  remove(name: string): void {
    const number = this.#numbers.get(name)
    if (number === undefined) return
    this.#numbers.delete(name)
    this.#retired.add(number)
    // Only the core knows which calls are in flight. If there is none, nobody can ask for any of the old ones.
    const { ok } = JSON.parse(this.#native.stats()) as { ok?: { inFlight?: number } | null }
    if (ok?.inFlight !== 0) return
    for (const old of this.#retired) {
      this.#providers.delete(old)
      owners.delete(old)
    }
    this.#retired.clear()
  }

  /** Asks the provider, and tells the core. Never rejects. */
  async answer(id: number, call: CustomCall): Promise<void> {
    const own: Running = { controller: new AbortController(), resume: nothing }
    const { signal } = own.controller
    running.set(id, own)
    const reply = (type: 'whole' | 'event' | 'end' | 'error', answer: string): boolean =>
      signal.aborted || this.#native.customReply(id, type, answer)
    try {
      const field = `${call.provider}.${METHODS[call.kind]}()`
      const answer = this.#ask(call, signal)
      if (isAsyncIterable(answer)) {
        await everyPiece(answer, async (piece, count) => {
          if (signal.aborted) return false
          if (!reply('event', encodeAnswer(field, piece))) await new Promise<void>((resolve) => (own.resume = resolve))
          else if (count % PIECES_A_TURN === 0) await new Promise((resolve) => setImmediate(resolve))
          return !signal.aborted
        })
        reply('end', '')
      } else {
        reply('whole', encodeAnswer(field, withPlainVectors(await answer)))
      }
    } catch (error) {
      reply('error', JSON.stringify(thrown(error)))
    } finally {
      running.delete(id)
    }
  }

  #ask({ router: number, provider: name, kind, request }: CustomCall, signal: AbortSignal): Answer {
    const provider = this.#providers.get(number)
    const method = provider?.[METHODS[kind]] as Method | undefined
    if (typeof method !== 'function')
      throw new TypeError(`provider "${name}" has no method ${METHODS[kind]}() any more`)
    return method.call(provider, request, { signal })
  }
}

onCall((letter: Letter) => {
  if (letter.kind === LetterKind.Continue) {
    running.get(letter.id)?.resume()
    return
  }
  if (letter.kind === LetterKind.Abort) {
    const own = running.get(letter.id)
    // Now, because a provider that does not heed its signal may never come to an end.
    running.delete(letter.id)
    own?.controller.abort()
    own?.resume()
    return
  }
  const call = contentOf(letter) as CustomCall
  // If the router is gone, so is everybody who could want the answer.
  void owners.get(call.router)?.deref()?.answer(letter.id, call)
})

/**
 * Hands on every piece until `take` gives false or throws. The iterator is told that no more is wanted, and not waited for: what
 * it does then, or never does, is nothing to the call. @throws what reading throws, and what `take` throws
 */
async function everyPiece(
  pieces: AsyncIterable<unknown>,
  take: (piece: unknown, count: number) => Promise<boolean>,
): Promise<void> {
  const iterator = pieces[Symbol.asyncIterator]()
  for (let count = 1; ; count += 1) {
    const step: unknown = await iterator.next()
    if (typeof step !== 'object' || step === null)
      throw new TypeError(`expected a step of an iteration, got ${describe(step)}`)
    const { done, value } = step as IteratorResult<unknown>
    if (done) return
    let isWanted = false
    try {
      isWanted = await take(value, count)
    } finally {
      if (!isWanted) leave(iterator)
    }
    if (!isWanted) return
  }
}

function leave(iterator: AsyncIterator<unknown>): void {
  // In a promise, so that whatever it throws is nobody's.
  void new Promise((resolve) => resolve(iterator.return?.())).catch(nothing)
}

function isAsyncIterable(answer: Answer): answer is AsyncIterable<unknown> {
  return typeof answer === 'object' && answer !== null && Symbol.asyncIterator in answer
}

/** JSON writes a Float32Array as an object. */
function withPlainVectors(answer: unknown): unknown {
  if (!Array.isArray(answer)) return answer
  return answer.map((each: unknown) => (ArrayBuffer.isView(each) ? Array.from(each as Float32Array) : each))
}

/** What the core and the user should know of whatever was thrown. Never throws, whatever it was. */
function thrown(error: unknown): object {
  try {
    return described(error)
  } catch {
    return { message: 'something was thrown that cannot be looked at' }
  }
}

/** The stack is all that the provider "said". */
function described(error: unknown): object {
  if (typeof error !== 'object' || error === null)
    return { message: typeof error === 'string' ? error : inspect(error) }
  const { name, message, status, retryAfterMs, stack } = error as Record<string, unknown>
  return {
    message: typeof message === 'string' ? message : inspect(error),
    ...(typeof name === 'string' && { name }),
    ...(isStatus(status) && { status }),
    ...(typeof retryAfterMs === 'number' && Number.isFinite(retryAfterMs) && { retryAfterMs }),
    ...(typeof stack === 'string' && { body: stack }),
  }
}

function isStatus(status: unknown): boolean {
  return Number.isInteger(status) && (status as number) >= 100 && (status as number) <= 599
}
