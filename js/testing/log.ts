/** What came, what was done with it, and how it ended. */

import type { Fault } from '../faults'

/** What a request was answered with: well, with a fault, or with a status from 300 on. */
export type Served = 'ok' | Fault | `status-${number}`

/** One request and what became of it: it is written on until the exchange is closed. */
export class LoggedRequest {
  /** Its place among all requests, from 0. */
  readonly number: number
  /** When all of it had come, in milliseconds on the clock of `performance.now()`. */
  readonly atMs: number
  /** Which connection brought it, counted from 0. */
  readonly connection: number
  /** Path and query. */
  readonly path: string
  /** The model that it names, or an empty string. */
  readonly model: string
  /** Its JSON. */
  readonly body: Record<string, unknown>
  /** Whether it wants a stream. */
  readonly stream: boolean
  /** What it was answered with; undefined until that is decided. */
  served: Served | undefined = undefined
  /** The status that was sent; undefined if no headers were. */
  status: number | undefined = undefined
  /** When the headers were sent, on the same clock. */
  answeredAtMs: number | undefined = undefined
  /** Tokens of a stream that were handed to the socket. */
  tokens = 0
  /** When the exchange was closed, on the same clock; undefined while it is open. */
  endedAtMs: number | undefined = undefined
  /** Whether the server had done what it was to do, or the client left before. */
  endedBy: 'server' | 'client' | undefined = undefined
  readonly #rawHeaders: readonly string[]

  /** @internal */
  constructor(
    parts: Pick<LoggedRequest, 'number' | 'atMs' | 'connection' | 'path' | 'body'>,
    rawHeaders: readonly string[],
  ) {
    this.number = parts.number
    this.atMs = parts.atMs
    this.connection = parts.connection
    this.path = parts.path
    this.body = parts.body
    const { model, stream } = parts.body
    this.model = typeof model === 'string' ? model : ''
    this.stream = stream === true
    this.#rawHeaders = rawHeaders
  }

  /** Its headers by their lower-case names, without those that hold keys. */
  get headers(): Record<string, string> {
    const headers: Record<string, string> = {}
    for (let place = 0; place + 1 < this.#rawHeaders.length; place += 2) {
      const name = (this.#rawHeaders[place] ?? '').toLowerCase()
      if (!SECRET.has(name)) headers[name] = this.#rawHeaders[place + 1] ?? ''
    }
    return headers
  }
}

const SECRET = new Set(['authorization', 'proxy-authorization', 'api-key', 'x-api-key', 'x-goog-api-key', 'cookie'])

/** Totals since the start or the last `reset()`. */
export interface FaultServerCounts {
  /** Requests that came. */
  requests: number
  /** Of these, those that are still open. */
  open: number
  /** Of these, those whose client left before the server was done. */
  aborted: number
  /** Tokens of streams that were handed to sockets. */
  tokens: number
  /** Requests by what they were answered with. */
  served: Partial<Record<Served, number>>
  /** Requests by model. */
  models: Record<string, number>
}

/** The newest requests, and the totals of all. */
export class Log {
  readonly counts: FaultServerCounts = {
    requests: 0,
    open: 0,
    aborted: 0,
    tokens: 0,
    served: {},
    // Clients choose these names, and one may be called `constructor`.
    models: Object.create(null) as FaultServerCounts['models'],
  }
  readonly requests: LoggedRequest[] = []
  readonly #limit: number

  /** Keeps this many. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** A request has come. */
  add(request: LoggedRequest): void {
    const { counts } = this
    counts.requests += 1
    counts.open += 1
    counts.models[request.model] = (counts.models[request.model] ?? 0) + 1
    if (this.#limit === 0) return
    this.requests.push(request)
    if (this.requests.length > this.#limit) this.requests.shift()
  }

  /** It was decided what it is answered with. */
  decide(request: LoggedRequest, served: Served): void {
    request.served = served
    this.counts.served[served] = (this.counts.served[served] ?? 0) + 1
  }

  /** Tokens were handed to its socket. */
  sent(request: LoggedRequest, tokens: number): void {
    request.tokens += tokens
    this.counts.tokens += tokens
  }

  /** Its exchange is closed. */
  close(request: LoggedRequest, by: 'server' | 'client'): void {
    request.endedAtMs = performance.now()
    request.endedBy = by
    this.counts.open -= 1
    if (by === 'client') this.counts.aborted += 1
  }
}
