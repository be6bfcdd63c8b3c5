/** A small OpenAI-compatible server on 127.0.0.1 that does what a test says and remembers what it saw. */

import { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** One request, as it came over the wire. */
export interface Seen {
  path: string
  headers: IncomingHttpHeaders
  /** Names and values as they stood on the wire. */
  rawHeaders: string[]
  text: string
  json: Record<string, unknown>
  /** Settles when its socket is closed, by whichever side. */
  closed: Promise<void>
}

/** What the server does with a request; what it throws ends the process, so that no test hides it. */
export type Answer = (seen: Seen, response: ServerResponse) => unknown

/** The server. */
export class TestServer {
  /** In the order in which their bodies were complete. */
  readonly seen: Seen[] = []
  /** Sockets that were ever opened. */
  connections = 0
  /** By default the answer to a chat is its last message. */
  answer: Answer = echo
  readonly #server = createServer((request, response) => void this.#serve(request, response))
  readonly #sockets = new Set<Socket>()
  readonly #watchers = new Set<() => void>()

  /** Starts one on a free port. */
  static async start(answer: Answer = echo): Promise<TestServer> {
    const server = new TestServer()
    server.answer = answer
    // A connection that the server closes while a client writes on it would be a fault that no test asked for.
    server.#server.keepAliveTimeout = 0
    server.#server.on('connection', (socket: Socket) => {
      server.connections += 1
      server.#sockets.add(socket)
      // A client that resets is nothing to fail over.
      socket.on('error', () => undefined)
      socket.on('close', () => {
        server.#sockets.delete(socket)
        server.#changed()
      })
    })
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve))
    return server
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Without a path. */
  get origin(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** What a client is given as its base URL. */
  get url(): string {
    return `${this.origin}/v1`
  }

  /** Sockets that are open now. */
  get open(): number {
    return this.#sockets.size
  }

  /** The last request. */
  get last(): Seen {
    const seen = this.seen.at(-1)
    if (seen === undefined) throw new Error('nothing was sent')
    return seen
  }

  /** Forgets what it saw, and echoes again. */
  reset(): void {
    this.seen.length = 0
    this.answer = echo
  }

  /** Waits until `isSo`, which is asked whenever a request has come or a socket was closed. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => this.#watchers.add(resolve))
  }

  /** Waits until this many requests have come. */
  async received(count = 1): Promise<Seen> {
    await this.until(() => this.seen.length >= count)
    return this.seen[count - 1] as Seen
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    const { socket } = request
    const closed = new Promise<void>((resolve) => {
      // One socket serves many requests, so the listener goes with the request.
      const onClose = (): void => resolve()
      socket.once('close', onClose)
      response.once('finish', () => socket.off('close', onClose))
    })
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer)
    } catch {
      // It was cut while it was sent.
      return
    }
    const text = Buffer.concat(chunks).toString('utf8')
    const json = JSON.parse(text) as Record<string, unknown>
    const seen = {
      path: request.url ?? '',
      headers: request.headers,
      rawHeaders: request.rawHeaders,
      text,
      json,
      closed,
    }
    this.seen.push(seen)
    this.#changed()
    await this.answer(seen, response)
  }

  #changed(): void {
    for (const resolve of this.#watchers) resolve()
    this.#watchers.clear()
  }
}

/** The body of a chat completion with this text. */
export function chat(content: string, more: object = {}): object {
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1,
    model: 'served-model',
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
    ...more,
  }
}

/** Sends JSON. */
export function send(
  response: ServerResponse,
  body: unknown,
  code = 200,
  headers: Record<string, string | number> = {},
): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  response.writeHead(code, { 'content-type': 'application/json', ...headers })
  response.end(text)
}

/** One event of a streamed chat, in OpenAI's shape. */
export function piece(delta: object, finish_reason: string | null = null): object {
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'served-model',
    choices: [{ index: 0, delta, finish_reason }],
  }
}

/** Begins a stream of events. */
export function beginEvents(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.flushHeaders()
}

/** Writes one event and waits until the kernel has it. */
export function event(response: ServerResponse, data: unknown): Promise<void> {
  const text = typeof data === 'string' ? data : JSON.stringify(data)
  return new Promise((resolve) => response.write(`data: ${text}\n\n`, () => resolve()))
}

/** Writes a whole stream. */
export async function sendEvents(response: ServerResponse, events: unknown[]): Promise<void> {
  beginEvents(response)
  for (const data of events) await event(response, data)
  response.end()
}

/** The text of the last message of a chat. */
export function question(seen: Seen): string {
  const messages = seen.json['messages'] as { content: string }[]
  return messages.at(-1)?.content ?? ''
}

/** Answers a chat with its last message, streamed or not. */
export async function echo(seen: Seen, response: ServerResponse): Promise<void> {
  const content = question(seen)
  if (seen.json['stream'] !== true) {
    send(response, chat(content))
    return
  }
  const words = content.split(/(?<= )/)
  const usage = { ...piece({}), choices: [], usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 } }
  await sendEvents(response, [...words.map((word) => piece({ content: word })), piece({}, 'stop'), usage, '[DONE]'])
}

/** Does one after the other; the last one again and again. */
export function inTurn(...answers: Answer[]): Answer {
  let next = 0
  return (seen, response) => {
    const answer = answers[Math.min(next, answers.length - 1)] as Answer
    next += 1
    return answer(seen, response)
  }
}

/** An answer of this status and body. */
export function status(code: number, body: unknown, headers: Record<string, string | number> = {}): Answer {
  return (_seen, response) => send(response, body, code, headers)
}
