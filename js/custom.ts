/** Providers written in JavaScript: the core asks them by mail, and hears the answer, or each piece of it, by `customReply`. */

import { inspect } from 'node:util'

import { encodeAnswer, text } from './encode'
import { type Letter, LetterKind } from './letter'
import { onCall } from './mailbox'
import type { Kind, NativeRouter } from './native'
import type { CustomProvider, ProviderOptions } from './provider'
import { valueOf } from './reply'

/** What a letter of kind `Call` says. */
interface CustomCall {
  /** The number that the router gave with `addCustomProvider`. */
  router: number
  provider: string
  kind: Kind
  request: object
  stream: boolean
}

type Answer = AsyncIterable<unknown> | Promise<unknown>
type Method = (request: object, context: { signal: AbortSignal }) => Answer

const METHODS = { completion: 'complete', embedding: 'embed', rerank: 'rerank' } as const satisfies Record<Kind, string>
const KINDS = Object.keys(METHODS) as Kind[]

/** Whether a provider is code, as opposed to options. */
export function isCustom(provider: ProviderOptions | CustomProvider): provider is CustomProvider {
  if (typeof provider !== 'object' || provider === null) return false
  return KINDS.some((kind) => typeof (provider as CustomProvider)[METHODS[kind]] === 'function')
}

// The mail names a router by its number. Weakly held: whoever waits for an answer holds the router itself.
const routers = new Map<number, WeakRef<CustomProviders>>()
const gone = new FinalizationRegistry((router: number) => routers.delete(router))
let lastRouter = 0
const running = new Map<number, AbortController>()

/** The custom providers of one router. */
export class CustomProviders {
  readonly #native: NativeRouter
  readonly #byName = new Map<string, CustomProvider>()
  #router = 0

  constructor(router: NativeRouter) {
    this.#native = router
  }

  /** @throws TypeError if it has no name, or whatever else the core finds wrong */
  add(provider: CustomProvider, caller: Function): void {
    const name = text('provider.name', provider.name)
    const kinds = KINDS.filter((kind) => typeof provider[METHODS[kind]] === 'function')
    valueOf(this.#native.addCustomProvider(name, kinds, this.#number()), caller)
    this.#byName.set(name, provider)
  }

  /** No call asks it from now on. */
  remove(name: string): void {
    this.#byName.delete(name)
  }

  /** Asks the provider, and tells the core. Never rejects. */
  async answer(id: number, call: CustomCall): Promise<void> {
    const controller = new AbortController()
    const { signal } = controller
    running.set(id, controller)
    const reply = (type: 'whole' | 'event' | 'end' | 'error', answer: string): void => {
      if (!signal.aborted) this.#native.customReply(id, type, answer)
    }
    try {
      const field = `${call.provider}.${METHODS[call.kind]}()`
      const answer = this.#ask(call, signal)
      if (isAsyncIterable(answer)) {
        for await (const piece of answer) {
          if (signal.aborted) return
          reply('event', encodeAnswer(field, piece))
        }
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

  #ask({ provider: name, kind, request }: CustomCall, signal: AbortSignal): Answer {
    const provider = this.#byName.get(name)
    const method = provider?.[METHODS[kind]] as Method | undefined
    if (typeof method !== 'function')
      throw new TypeError(`provider "${name}" has no method ${METHODS[kind]}() any more`)
    return method.call(provider, request, { signal })
  }

  #number(): number {
    if (this.#router === 0) {
      lastRouter += 1
      this.#router = lastRouter
      routers.set(this.#router, new WeakRef(this))
      gone.register(this, this.#router)
    }
    return this.#router
  }
}

onCall((letter: Letter) => {
  if (letter.kind === LetterKind.Abort) {
    running.get(letter.id)?.abort()
    return
  }
  const call = JSON.parse(letter.text ?? '{}') as CustomCall
  // If the router is gone, so is everybody who could want the answer.
  void routers.get(call.router)?.deref()?.answer(letter.id, call)
})

function isAsyncIterable(answer: Answer): answer is AsyncIterable<unknown> {
  return typeof answer === 'object' && answer !== null && Symbol.asyncIterator in answer
}

/** JSON writes a Float32Array as an object. */
function withPlainVectors(answer: unknown): unknown {
  if (!Array.isArray(answer)) return answer
  return answer.map((each: unknown) => (ArrayBuffer.isView(each) ? Array.from(each as Float32Array) : each))
}

/** What the core and the user should know of whatever was thrown: the stack is all that the provider "said". */
function thrown(error: unknown): object {
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
