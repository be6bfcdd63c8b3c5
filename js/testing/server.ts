/** A server in OpenAI's dialect on a real socket, which fails on demand. */

import { once } from 'node:events'
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

import { type Behaviour, OK, type Plan, type Script, isPromise } from './behaviour'
import { Exchange, type Pace } from './exchange'
import { type FaultServerCounts, Log, LoggedRequest } from './log'
import { type FaultServerOptions, type Settings, readSettings } from './options'
import { Random } from './random'
import * as read from './read'
import { Scripts } from './script'
import { type Truthy, Watchers } from './watchers'
import { type Endpoint, refusal, wire } from './wire'

const HOST = '127.0.0.1'

const ENDPOINTS: readonly (readonly [path: string, endpoint: Endpoint])[] = [
  ['/chat/completions', 'chat'],
  ['/responses', 'responses'],
  ['/embeddings', 'embeddings'],
  ['/rerank', 'rerank'],
  ['/models', 'models'],
]

/**
 * A server in OpenAI's dialect on 127.0.0.1 that fails on demand: chat completions and responses (whole and streamed),
 * embeddings, rerank and the list of models. Answers echo the last message of the user and report their usage; words stand for tokens.
 *
 * ```js
 * await using server = await FaultServer.start()
 * router.addProvider(server.provider()) // 'faulty'
 * router.deploy('default', 'faulty::status-503').deploy('default', 'faulty::anything')
 * ```
 *
 * What a request gets is said, in this order, by an outage, the script of its model, the name of its model, the script of
 * `'*'`, and the server's `faults`.
 */
export class FaultServer {
  /** The base URL, e.g. `http://127.0.0.1:40123/v1`. */
  readonly url: string
  /** The port of 127.0.0.1. */
  readonly port: number
  readonly #settings: Settings
  readonly #server: Server
  readonly #sockets = new Map<Socket, number>()
  readonly #watchers = new Watchers()
  #accepted = 0
  #isClosed = false
  #log: Log
  #scripts: Scripts
  #random: Random

  /** Starts one. @throws TypeError, RangeError for options that are wrong; the system's error for a port that is taken */
  static async start(options: FaultServerOptions = {}): Promise<FaultServer> {
    const settings = readSettings(options)
    const scripts = new Scripts(settings.seed, settings.rest, settings.models)
    const server = createServer({ noDelay: true })
    // A connection that the server closes while the client writes on it would be a fault that nobody asked for.
    server.keepAliveTimeout = server.requestTimeout = server.headersTimeout = 0
    server.listen(settings.port, HOST)
    await once(server, 'listening')
    return new FaultServer(settings, server, scripts)
  }

  private constructor(settings: Settings, server: Server, scripts: Scripts) {
    this.#settings = settings
    this.#server = server
    this.#log = new Log(settings.logLimit)
    this.#scripts = scripts
    this.#random = new Random(settings.seed)
    this.port = (server.address() as AddressInfo).port
    this.url = `http://${HOST}:${this.port}/v1`
    server.on('connection', (socket: Socket) => this.#accept(socket))
    server.on('request', (request: IncomingMessage, response: ServerResponse) => this.#receive(request, response))
  }

  /** What a router's `addProvider` takes: models on this server are `name::model` then. */
  provider(name = 'faulty'): { type: 'openai-compatible'; name: string; baseUrl: string } {
    if (read.filled('provider: name', name).includes('::'))
      throw read.wrong('provider: name', 'a name without `::`', name)
    return { type: 'openai-compatible', name, baseUrl: this.url }
  }

  /** The newest requests in the order in which they came, `logLimit` at most. */
  get requests(): readonly LoggedRequest[] {
    return this.#log.requests
  }

  /** Totals since the start or the last `reset()`. */
  get counts(): Readonly<FaultServerCounts> {
    return this.#log.counts
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#sockets.size
  }

  /**
   * Says what a model does from now on; `'*'` is all that have no script and are not named like a behaviour. Without a script
   * it is as if it had never had one. @throws TypeError, RangeError that name what is wrong
   */
  script(model: string, script?: Script): this {
    this.#scripts.set(model, script)
    return this
  }

  /** Begins an outage: whatever these models are asked, or all if none is named, goes wrong in this way. Scripts wait. */
  outage(behaviour: Behaviour = 'status-503', ...models: string[]): this {
    this.#scripts.fail(behaviour, models)
    return this
  }

  /** Ends the outages of these models, or all outages. */
  recover(...models: string[]): this {
    this.#scripts.recover(models)
    return this
  }

  /** Resets every open connection (RST), whatever is going on there. */
  disconnect(): void {
    for (const socket of this.#sockets.keys()) socket.resetAndDestroy()
  }

  /** Resets every open connection and refuses new ones, until `listen()`. */
  async refuse(): Promise<void> {
    if (!this.#server.listening) return
    this.#server.close()
    await this.#end((socket) => socket.resetAndDestroy())
  }

  /** Listens again after `refuse()`, on the same port. @throws the system's error if somebody else has taken it */
  async listen(): Promise<void> {
    if (this.#server.listening) return
    if (this.#isClosed) throw new Error('the server is closed: start another')
    this.#server.listen(this.port, HOST)
    await once(this.#server, 'listening')
  }

  /**
   * Done when `predicate` gives something true, and gives that; it is asked at once, and whenever a request has come, a script
   * was asked, a token was sent, or an exchange or a connection was closed. @throws Error if that takes longer than `timeoutMs`; what
   * `predicate` throws
   */
  async waitFor<Value>(predicate: () => Value, options: { timeoutMs?: number } = {}): Promise<Truthy<Value>> {
    if (typeof predicate !== 'function') throw read.wrong('waitFor: predicate', 'a function', predicate)
    const { timeoutMs } = read.fields('waitFor options', options, ['timeoutMs'])
    const limitMs = read.number('waitFor options.timeoutMs', timeoutMs, 0, MAX_TIMEOUT_MS) ?? 10_000
    const state = (): string => `${JSON.stringify(this.counts)}, ${this.connections} connections`
    return await this.#watchers.until(predicate, limitMs, state)
  }

  /**
   * As at the start: scripts, chances, no outage, an empty log. Connections stay open; what is under way goes on, and is in
   * no log any more.
   */
  reset(): void {
    const { logLimit, models, rest, seed } = this.#settings
    this.#log = new Log(logLimit)
    this.#scripts = new Scripts(seed, rest, models)
    this.#random = new Random(seed)
  }

  /** Destroys every connection and stops. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#server.close()
    await this.#end((socket) => socket.destroy())
  }

  /** `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Ends every connection; done when all are gone. */
  async #end(end: (socket: Socket) => void): Promise<void> {
    const sockets = [...this.#sockets.keys()]
    const gone = sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve)))
    for (const socket of sockets) end(socket)
    await Promise.all(gone)
  }

  #accept(socket: Socket): void {
    this.#sockets.set(socket, this.#accepted)
    this.#accepted += 1
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#watchers.changed()
    })
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const text = chunks.length === 1 ? String(chunks[0]) : Buffer.concat(chunks).toString()
      this.#serve(request, response, text)
    })
  }

  /** Answers a request that has come as a whole. */
  #serve(request: IncomingMessage, response: ServerResponse, text: string): void {
    const { socket, url = '', rawHeaders } = request
    const body = parsed(text)
    const log = this.#log
    const logged = new LoggedRequest(
      {
        number: log.counts.requests,
        atMs: performance.now(),
        connection: this.#sockets.get(socket) ?? 0,
        path: url,
        body: body ?? {},
      },
      rawHeaders,
    )
    const exchange = new Exchange(logged, response, socket, log, () => this.#watchers.changed())
    const endpoint = endpointOf(url)
    const refuse = (status: number, message: string): void => {
      log.decide(logged, `status-${status}`)
      exchange.play(refusal(status, message), AT_ONCE)
    }
    if (endpoint === undefined) {
      refuse(404, `there is no ${url}`)
      return
    }
    if (body === undefined) {
      refuse(400, 'the body is not a JSON object')
      return
    }
    const answer = (plan: Plan): void => {
      log.decide(logged, plan.served)
      const { model, stream, number } = logged
      const asked = { endpoint, id: `fault-${number}`, model, stream, body, models: this.#scripts.names }
      exchange.play(wire(plan, asked), this.#pace(plan))
    }
    // A mistake in a script is the test's own: its caller gets an end, and the process the error, so that nothing hides it.
    const fail = (error: unknown): void => {
      refuse(500, `the script of the model failed: ${String(error)}`)
      process.nextTick(() => {
        throw error
      })
    }
    try {
      // A list of models has no model, so that only an outage is about it.
      const plan = endpoint === 'models' ? (this.#scripts.outage('') ?? OK) : this.#scripts.next(logged)
      // A script of the test's has run: something that is waited for may be true now.
      this.#watchers.changed()
      if (isPromise(plan)) plan.then(answer, fail)
      else answer(plan)
    } catch (error) {
      fail(error)
    }
  }

  /** Draws when things are said. */
  #pace({ latency = this.#settings.latency, tokenInterval = this.#settings.tokenInterval }: Plan): Pace {
    const draw = ([low, high]: readonly [number, number]): number =>
      low === high ? low : low + (high - low) * this.#random.next()
    return { latency: draw(latency), interval: () => draw(tokenInterval) }
  }
}

/** The longest that Node's timers wait. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

const AT_ONCE: Pace = { latency: 0, interval: () => 0 }

/** The JSON object that a body is; an empty one for none. */
function parsed(text: string): Record<string, unknown> | undefined {
  if (text === '') return {}
  try {
    const body = JSON.parse(text) as unknown
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function endpointOf(url: string): Endpoint | undefined {
  const end = url.indexOf('?')
  const path = end === -1 ? url : url.slice(0, end)
  return ENDPOINTS.find(([suffix]) => path.endsWith(suffix))?.[1]
}
