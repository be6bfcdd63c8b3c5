/** The routers: one class per kind of request, because a chat model and an embedder are not interchangeable. */

import { batch } from './batch'
import { Cache, encodeCache, flushAtExit, unwrapCache, wrapCache } from './cache'
import type { CacheOptions } from './cache'
import { type Completion, type CompletionRequest, completion, completionHit } from './completion'
import { CustomProviders, isCustom } from './custom'
import { desk } from './desk'
import { type EmbeddingRequest, type Embeddings, embeddings } from './embedding'
import { encodeOptions, encodeRequest, optional, signalOf, text } from './encode'
import { type CallSite, type ThrydError, callSite } from './errors'
import { type Letter, LetterKind } from './letter'
import { failed, letterTo, mailbox, nextId, settled } from './mailbox'
import { type Kind, type NativeRouter, native } from './native'
import type { BatchOptions, DeployOptions, GroupOptions, InvokeOptions, RouterOptions, StreamOptions } from './options'
import type { CustomProvider, ProviderOptions } from './provider'
import { valueOf } from './reply'
import { type Ranking, type RerankRequest, ranking } from './rerank'
import { type ModelResponse, type ResponsesRequest, modelResponse } from './response'
import type { Spoken } from './spelling'
import { reasonOf } from './signal'
import type { RouterStats } from './stats'
import {
  type CompletionStream,
  type ResponsesStream,
  type StreamCall,
  completionStream,
  responsesStream,
} from './stream'

/** What makes a router one of its kind: its name in the core, and how an answer is read. */
interface KindOfRouter<Response> {
  name: Kind
  read(letter: Letter): Response
  /** Of a kind whose hits are told in a line. `words` gives the word of a number. */
  readHit?(text: string, words: (number: number) => string): Response
}

type ReadHit<Response> = NonNullable<KindOfRouter<Response>['readHit']>

/** The core's part of a router, for this package alone. */
export let nativeOf: <Request, Response>(router: Router<Request, Response>) => NativeRouter

/**
 * What all routers can do. Groups of interchangeable deployments answer requests; each deployment has its limits; answers are
 * kept in a cache. An idle router does not keep the process alive.
 */
export abstract class Router<Request, Response> {
  static {
    nativeOf = (router) => router.#native
  }

  readonly #native: NativeRouter
  readonly #kind: KindOfRouter<Response>
  readonly #custom: CustomProviders
  /** Those that hits have named by their numbers. */
  readonly #words: string[] = []
  readonly #word = (number: number): string => (this.#words[number] ??= this.#native.word(number))
  #cache: Cache | undefined
  #closed: Promise<void> | undefined

  /**
   * @param options - everything that the methods can also set
   * @throws TypeError and RangeError on bad options, naming the field; ThrydError as the methods do
   */
  constructor(options?: RouterOptions)
  /** @internal */
  constructor(options: RouterOptions | undefined, kind: KindOfRouter<Response>)
  constructor(options?: RouterOptions, kind?: KindOfRouter<Response>) {
    if (kind === undefined)
      throw new TypeError('Router is abstract: use CompletionRouter, ResponsesRouter, EmbeddingRouter or RerankRouter')
    this.#kind = kind
    this.#native = new native.NativeRouter(mailbox, kind.name, desk)
    this.#custom = new CustomProviders(this.#native)
    const given = optional('router options', options)
    this.#configure(given ?? {})
  }

  /**
   * Adds an endpoint, or code that acts as one. One of the same name is replaced, its limits too.
   * @throws TypeError and RangeError, naming the field; ThrydError `ERR_NO_PROVIDER` if its key is neither given nor in the
   * environment
   */
  addProvider(provider: ProviderOptions | CustomProvider): this {
    if (isCustom(provider)) this.#custom.add(provider, Router.prototype.addProvider)
    else valueOf(this.#native.addProvider(encodeOptions('provider', provider)), Router.prototype.addProvider)
    return this
  }

  /** Takes a provider away. Calls in flight on it finish. @returns whether it was there */
  removeProvider(name: string): boolean {
    const wasThere = valueOf<boolean>(this.#native.removeProvider(text('name', name)), Router.prototype.removeProvider)
    this.#custom.remove(name)
    return wasThere
  }

  /**
   * Puts a model into a group, which is made if it is not there.
   * @param model - `provider::model`
   * @throws RangeError on a number out of range; TypeError; ThrydError `ERR_NO_PROVIDER`
   */
  deploy(group: string, model: string, options?: DeployOptions): this {
    const own = optional('options', options)
    const encoded = own && encodeOptions('options', own)
    valueOf(this.#native.deploy(text('group', group), text('model', model), encoded ?? null), Router.prototype.deploy)
    return this
  }

  /** Takes a model out of a group. Calls in flight on it finish. @returns whether it was there */
  undeploy(group: string, model: string): boolean {
    return valueOf(this.#native.undeploy(text('group', group), text('model', model)), Router.prototype.undeploy)
  }

  /**
   * Sets how a group chooses; what is absent stays as it is. A group that is not there is made.
   * @throws TypeError on an unknown strategy, and on fallbacks that lead back to the group
   */
  configureGroup(group: string, options: GroupOptions): this {
    valueOf(
      this.#native.configureGroup(text('group', group), encodeOptions('options', options)),
      Router.prototype.configureGroup,
    )
    return this
  }

  /** Takes a group away with its deployments. Calls in flight finish. @returns whether it was there */
  removeGroup(group: string): boolean {
    return valueOf(this.#native.removeGroup(text('group', group)), Router.prototype.removeGroup)
  }

  /** The names of the groups. */
  groups(): string[] {
    return valueOf(this.#native.groups(), Router.prototype.groups)
  }

  /**
   * Opens or joins the cache. Several routers may mount one path.
   * @param cache - a path, options, or a cache that is open
   * @throws CacheError if it cannot be opened; TypeError and RangeError on bad options
   */
  async mountCache(cache: string | CacheOptions | Cache): Promise<this> {
    if (cache instanceof Cache) {
      this.#mountOpen(cache, Router.prototype.mountCache)
      return this
    }
    const encoded = encodeCache('cache', cache)
    flushAtExit()
    await settled((id) => this.#native.mountCache(id, encoded))
    this.#cache = undefined
    return this
  }

  /** The cache, once it is open. */
  get cache(): Cache | undefined {
    if (this.#cache === undefined) {
      const cache = this.#native.cache()
      if (cache !== null) this.#cache = wrapCache(cache)
    }
    return this.#cache
  }

  /**
   * Asks a group. Equal requests in flight share one call.
   * @returns the whole answer
   * @throws ThrydError, or what `options.signal` was aborted with; TypeError and RangeError on bad arguments
   */
  async invoke(group: string, request: Request, options?: InvokeOptions): Promise<Response> {
    const { signal, encoded } = callOptions(options)
    const name = text('group', group)
    const body = encodeRequest(request)
    // After what runs code of the caller's, so that a signal that has fired sends nothing.
    if (signal?.aborted) throw reasonOf(signal)
    const id = nextId()
    const letter =
      this.#native.invoke(id, name, body, encoded) ?? (await letterTo(id, signal, (gone) => this.#native.cancel(gone)))
    return this.#read(letter)
  }

  /**
   * Asks a group many times, some at once. Results come in the order of the requests; a failed item is an Error in its place.
   * Requests are read as they are needed, and begun when the first result is asked for; leaving the loop cancels the rest.
   * @throws what `options.signal` was aborted with, what the iteration of `requests` throws, and TypeError and RangeError on
   * bad `concurrency`, `onProgress`, `signal`
   */
  invokeMany(
    group: string,
    requests: Iterable<Request> | AsyncIterable<Request>,
    options?: BatchOptions,
  ): AsyncIterable<Response | ThrydError> {
    const { concurrency, onProgress, signal, ...rest } = optional('options', options) ?? {}
    const { encoded } = callOptions(rest)
    const name = text('group', group)
    // Once, so that a mistake in them is not repeated in the place of every answer.
    if (encoded !== null) valueOf(this.#native.checkOptions(encoded), Router.prototype.invokeMany)
    const call = {
      encode: (request: Request) => encodeRequest(request),
      begin: (id: number, body: Spoken) => this.#native.invoke(id, name, body, encoded),
      cancel: (id: number) => this.#native.cancel(id),
      read: (letter: Letter | string, site: CallSite) => this.#read(letter, site),
    }
    const own = { concurrency, onProgress, signal } as BatchOptions
    // What is not a ThrydError in there is a TypeError or a RangeError: a bad request, which the types forbid.
    return batch(requests, own, call, Router.prototype.invokeMany) as AsyncIterable<Response | ThrydError>
  }

  /** Milliseconds until a request of this size could be admitted; 0 is now. @throws ThrydError if it never could */
  estimateWaitMs(group: string, request: Request): number {
    return valueOf(
      this.#native.estimateWaitMs(text('group', group), encodeRequest(request)),
      Router.prototype.estimateWaitMs,
    )
  }

  /** A snapshot, cheap enough to poll. */
  stats(): RouterStats {
    return valueOf(this.#native.stats(), Router.prototype.stats)
  }

  /** Refuses new calls, waits for those in flight, flushes the cache. Idempotent. Not needed for the process to exit. */
  close(): Promise<void> {
    this.#closed ??= settled<void>((id) => this.#native.close(id))
    return this.#closed
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #configure(options: RouterOptions): void {
    const { cache, providers, ...rest } = options
    const all = Array.isArray(providers) ? providers : []
    for (const provider of all) if (isCustom(provider)) this.#custom.add(provider, Router)
    const others = Array.isArray(providers) ? providers.filter((provider) => !isCustom(provider)) : providers
    const isOpen = cache instanceof Cache
    const own = cache === undefined || cache === null || isOpen ? undefined : encodeCache('cache', cache)
    if (own !== undefined) flushAtExit()
    const forCore = { ...rest, providers: others, cache: own && (JSON.parse(own) as object) }
    valueOf(this.#native.configure(encodeOptions('router options', forCore)), Router)
    if (isOpen) this.#mountOpen(cache, Router)
  }

  #mountOpen(cache: Cache, method: Function): void {
    valueOf(this.#native.mountOpenCache(unwrapCache(cache)), method)
    this.#cache = cache
  }

  /** A line is to be read before the core is asked again. */
  #read(letter: Letter | string, site?: CallSite): Response {
    if (typeof letter === 'string') return (this.#kind.readHit as ReadHit<Response>)(letter, this.#word)
    if (letter.kind === LetterKind.Failed) throw failed(letter, site ?? callSite(Router.prototype.invoke))
    return this.#kind.read(letter)
  }
}

/** Routes chat requests to the models that complete them. */
export class CompletionRouter extends Router<CompletionRequest, Completion> {
  /** See `Router`. */
  constructor(options?: RouterOptions) {
    super(options, { name: 'completion', read: completion, readHit: completionHit })
  }

  /**
   * Asks a group for an answer in pieces. Starts on the first `next()`. Leaving the loop cancels the call and closes the
   * socket. A failure ends the iteration with a ThrydError: after the first chunk with an InterruptedError.
   */
  stream(group: string, request: CompletionRequest, options?: StreamOptions): CompletionStream {
    const { call, signal } = streamCall(this, group, request, options)
    return completionStream(call, signal)
  }
}

/** Routes requests of OpenAI's Responses API to the models that answer them. */
export class ResponsesRouter extends Router<ResponsesRequest, ModelResponse> {
  /** See `Router`. */
  constructor(options?: RouterOptions) {
    super(options, { name: 'response', read: modelResponse })
  }

  /** As `stream` of a `CompletionRouter`; the whole answer is that of the stream's `response()`. */
  stream(group: string, request: ResponsesRequest, options?: StreamOptions): ResponsesStream {
    const { call, signal } = streamCall(this, group, request, options)
    return responsesStream(call, signal)
  }
}

/** Routes texts to the models that embed them. */
export class EmbeddingRouter extends Router<EmbeddingRequest, Embeddings> {
  /** See `Router`. */
  constructor(options?: RouterOptions) {
    super(options, { name: 'embedding', read: embeddings })
  }
}

/** Routes a query and documents to the models that rank them. */
export class RerankRouter extends Router<RerankRequest, Ranking> {
  /** See `Router`. */
  constructor(options?: RouterOptions) {
    super(options, { name: 'rerank', read: ranking })
  }
}

/** How a stream asks the core. Through the router, so that whoever holds the stream holds it and its custom providers. */
function streamCall<Request, Response>(
  router: Router<Request, Response>,
  group: string,
  request: Request,
  options: StreamOptions | undefined,
): { call: StreamCall; signal: AbortSignal | undefined } {
  const { signal, encoded } = callOptions(options)
  const name = text('group', group)
  const body = encodeRequest(request)
  const call = {
    start: (id: number) => nativeOf(router).stream(id, name, body, encoded),
    pull: (id: number, letters: number) => nativeOf(router).pull(id, letters),
    cancel: cancelOf(nativeOf(router)),
  }
  return { call, signal }
}

/** Apart, so that it holds nothing but the core's part of the router: it must not keep alive whoever it waits to see gone. */
function cancelOf(router: NativeRouter): (id: number) => void {
  return (id) => router.cancel(id)
}

const NO_OPTIONS = { signal: undefined, encoded: null }

/** Takes the signal out of a call's options; the rest is for the core. */
function callOptions(options: InvokeOptions | undefined): { signal: AbortSignal | undefined; encoded: string | null } {
  const given = optional('options', options)
  if (given === undefined) return NO_OPTIONS
  const { signal, ...rest } = given
  return { signal: signalOf(signal), encoded: Object.keys(rest).length === 0 ? null : encodeOptions('options', rest) }
}
