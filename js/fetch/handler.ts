/** The handler: turns requests into what the core reads, and what the core says into responses. */

import { randomUUID } from 'node:crypto'

import { encodeOptions, optional } from '../encode'
import { type Letter, LetterKind, contentOf } from '../letter'
import { failed, letterTo, nextId } from '../mailbox'
import { type Kind, type NativeRouter, type Reply, native } from '../native'
import { valueOf } from '../reply'
import { type NoBody, bodyOf } from './body'
import type { Settings } from './options'
import { streamOf } from './stream'

/** Longer ids of clients are not repeated. */
const MAX_ID_LENGTH = 200

/** What comes before a body. */
interface Head {
  status: number
  headers: [string, string][]
}

/** A whole answer of the core's. */
interface Whole extends Head {
  body: string
}

/** Where a request leads. */
interface Place {
  kind?: Kind
  models?: string | null
  refused?: Whole
}

/** The response to one request. */
export function responseTo(
  settings: Settings,
  input: string | URL | Request,
  second: RequestInit | { params: unknown } | undefined,
): Promise<Response> {
  const init = initOf(second)
  const request = input instanceof Request && init === undefined ? input : new Request(input, init)
  return new Exchange(settings, request, init).response()
}

/** What servers give their handlers beside the request (Next.js its route's parameters, Bun the server) is no such thing. */
function initOf(second: object | undefined): RequestInit | undefined {
  const isInit = second && ['method', 'headers', 'body', 'signal'].some((field) => field in second)
  return isInit ? (second as RequestInit) : undefined
}

/** One request and its response. */
class Exchange {
  readonly #settings: Settings
  readonly #request: Request
  readonly #init: RequestInit | undefined
  readonly #signal: AbortSignal
  /** Whoever sends one finds it in both logs. */
  readonly #id: string

  constructor(settings: Settings, request: Request, init: RequestInit | undefined) {
    this.#settings = settings
    this.#request = request
    this.#init = init
    this.#signal = init?.signal ?? request.signal
    const id = request.headers.get('x-request-id')
    this.#id = id && id.length <= MAX_ID_LENGTH ? id : randomUUID()
  }

  async response(): Promise<Response> {
    try {
      this.#signal.throwIfAborted()
      return await this.#answer()
    } catch (error) {
      // A server's request has nobody left who could catch anything.
      if (this.#signal.aborted && !this.#init?.signal) return this.#refusal('gone')
      throw error
    }
  }

  async #answer(): Promise<Response> {
    const { routers, authorize, maxBodyBytes } = this.#settings
    const place = valueOf<Place>(native.gatewayPlace(JSON.stringify(this.#door())), responseTo)
    if (place.refused !== undefined) return this.#made(place.refused.body, place.refused)
    const verdict = authorize === undefined || (await authorize(this.#request))
    if (verdict instanceof Response) return verdict
    if (verdict !== true) return this.#refusal('unauthorized')
    const asked = place.kind && routers.get(place.kind)
    if (asked === undefined) {
      const groups = [...routers.values()].flatMap(({ router }) => router.groups())
      return this.#whole(native.gatewayModels(groups, place.models ?? null))
    }
    const options = await this.#options()
    const body = await bodyOf(this.#request, this.#init?.body, maxBodyBytes, this.#signal)
    // After what runs code of the host's, so that a signal that has fired sends nothing.
    this.#signal.throwIfAborted()
    return typeof body === 'string' ? this.#refusal(body, maxBodyBytes) : this.#respond(asked.native, body, options)
  }

  /** What is known before the body is read. */
  #door(): object {
    const { headers, method, url } = this.#request
    const length = headers.get('content-length')
    return {
      method,
      path: new URL(url).pathname,
      contentType: headers.get('content-type'),
      contentLength: length === null ? null : Number(length),
      kinds: [...this.#settings.routers.keys()],
      maxBodyBytes: this.#settings.maxBodyBytes,
    }
  }

  async #options(): Promise<string | null> {
    const { options } = this.#settings
    const given = optional('options', typeof options === 'function' ? await options(this.#request) : options)
    return given === undefined ? null : encodeOptions('options', given)
  }

  async #respond(router: NativeRouter, body: Uint8Array, options: string | null): Promise<Response> {
    const id = nextId()
    const cancel = (gone: number): void => router.cancel(gone)
    const letter = router.respond(id, body, options) ?? (await letterTo(id, this.#signal, cancel))
    if (letter.kind === LetterKind.Failed) throw failed(letter)
    // Fired since the letter came, by somebody whose turn was before this one.
    if (this.#signal.aborted) {
      router.cancel(id)
      throw this.#signal.reason
    }
    const head = contentOf(letter) as Head
    if (letter.kind === LetterKind.Ok) return this.#made(letter.bytes ?? '', head)
    const pull = (more: number, letters: number): Letter | null => router.pullResponse(more, letters)
    return this.#made(streamOf(letter, { pull, cancel }, this.#signal), head)
  }

  #refusal(reason: 'unauthorized' | 'gone' | NoBody, limit?: number): Response {
    return this.#whole(native.gatewayRefusal(reason, limit ?? null))
  }

  #whole(reply: Reply): Response {
    const { body, ...head } = valueOf<Whole>(reply, responseTo)
    return this.#made(body, head)
  }

  #made(body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>, { status, headers }: Head): Response {
    // HEAD is answered as GET is, without its body.
    const content = this.#request.method === 'HEAD' ? null : body
    return new Response(content, { status, headers: [...headers, ['x-request-id', this.#id]] })
  }
}
