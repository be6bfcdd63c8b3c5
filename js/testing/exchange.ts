/** One exchange: says on the socket what the plan is, at its pace, and notes how it went. */

import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

import type { Log, LoggedRequest } from './log'
import type { Wire } from './wire'

/** When things are said. */
export interface Pace {
  /** Milliseconds before the headers. */
  latency: number
  /** Milliseconds before the next token. */
  interval: () => number
}

/** One exchange, from a complete request on. */
export class Exchange {
  readonly #request: LoggedRequest
  readonly #response: ServerResponse
  readonly #socket: Socket
  readonly #log: Log
  readonly #changed: () => void
  /** Whether the server has done what it was to do. */
  #isDone = false
  #timer: NodeJS.Timeout | undefined

  /** `changed` is called whenever the log has something new. */
  constructor(request: LoggedRequest, response: ServerResponse, socket: Socket, log: Log, changed: () => void) {
    this.#request = request
    this.#response = response
    this.#socket = socket
    this.#log = log
    this.#changed = changed
    log.add(request)
    response.once('close', () => this.#close())
    changed()
  }

  /** Says it. */
  play(wire: Wire, pace: Pace): void {
    if (this.#request.endedBy !== undefined) return
    if (pace.latency > 0) this.#timer = setTimeout(() => this.#begin(wire, pace), pace.latency)
    else this.#begin(wire, pace)
  }

  #begin(wire: Wire, pace: Pace): void {
    if (wire.status === 0) {
      this.#end(wire)
      return
    }
    this.#request.status = wire.status
    this.#request.answeredAtMs = performance.now()
    this.#response.writeHead(wire.status, wire.headers)
    const first = pace.interval()
    if (first > 0 && wire.tokens.length > 0) {
      this.#response.write(wire.head)
      this.#next(wire, pace, 0)
      return
    }
    this.#log.sent(this.#request, wire.tokens.length)
    this.#end(wire, wire.head + wire.tokens.join('') + wire.tail)
  }

  /** Says one token, and the others after it; what comes then, such as an error, takes its time as well. */
  #next(wire: Wire, pace: Pace, place: number): void {
    const token = wire.tokens[place]
    if (token === undefined) {
      this.#end(wire, wire.tail)
      return
    }
    this.#log.sent(this.#request, 1)
    if (place + 1 === wire.tokens.length && wire.tail === '') {
      this.#end(wire, token)
      return
    }
    this.#response.write(token)
    this.#changed()
    this.#timer = setTimeout(() => this.#next(wire, pace, place + 1), pace.interval())
  }

  /** Says the last, and ends as the wire is to end. */
  #end({ status, ending }: Wire, last = ''): void {
    if (ending === 'end') {
      this.#isDone = true
      this.#response.end(last)
      this.#changed()
      return
    }
    if (last !== '') this.#response.write(last)
    this.#changed()
    if (ending === 'silence') {
      // Headers wait for the first byte of the body, which may never come.
      if (status !== 0) this.#response.flushHeaders()
      return
    }
    this.#isDone = true
    if (ending === 'reset') this.#socket.resetAndDestroy()
    // What was written goes out before the FIN.
    else this.#socket.destroySoon()
  }

  #close(): void {
    clearTimeout(this.#timer)
    this.#log.close(this.#request, this.#isDone ? 'server' : 'client')
    this.#changed()
  }
}
