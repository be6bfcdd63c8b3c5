/** Proxies on 127.0.0.1, as companies have them, and TLS before a server: whatever is asked for, one server answers it. */

import { once } from 'node:events'
import { type IncomingMessage, type ServerResponse, createServer, request as ask } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, type Server, type Socket, connect, createServer as createSocketServer } from 'node:net'
import { pipeline } from 'node:stream'
import { TLSSocket, createServer as createSecureServer } from 'node:tls'

import type { Identity } from './authority.js'

/** What a proxy is told to do. */
export interface ProxyOptions {
  /** The port of the server that answers, over plain HTTP. */
  upstream: number
  /** What is shown behind a tunnel in the name of whoever was asked for; without it nothing is decrypted. */
  behind?: Identity
  /** What the proxy shows itself: it is spoken to over TLS. */
  itself?: Identity
  /** `user:password` that it wants. */
  credentials?: string
  /** The status that it answers instead of a connection; 0 hangs up. */
  refusal?: number
  /** Whether it answers nothing at all. */
  isSilent?: boolean
}

/** A proxy, or TLS alone. */
export class Proxy {
  /** What it was asked for: `CONNECT api.openai.com:443`, `POST http://host/v1`, `SOCKS api.openai.com:443`, in order. */
  readonly asked: string[] = []
  readonly #options: ProxyOptions
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined

  private constructor(options: ProxyOptions) {
    this.#options = options
  }

  /** One that speaks HTTP. */
  static async http(options: ProxyOptions): Promise<Proxy> {
    const proxy = new Proxy(options)
    const forward = (request: IncomingMessage, response: ServerResponse): void => proxy.#forward(request, response)
    const server = options.itself === undefined ? createServer(forward) : createTlsServer(options.itself, forward)
    server.on('connect', (request, socket) => proxy.#tunnel(request, socket as Socket))
    return await proxy.#listen(server)
  }

  /** One that speaks SOCKS 5. */
  static async socks(options: ProxyOptions): Promise<Proxy> {
    const proxy = new Proxy(options)
    return await proxy.#listen(createSocketServer((socket) => void proxy.#socks(socket)))
  }

  /** No proxy: the server itself behind TLS. */
  static async tls(upstream: number, itself: Identity): Promise<Proxy> {
    const proxy = new Proxy({ upstream })
    return await proxy.#listen(createSecureServer(itself, (socket) => proxy.#join(socket)))
  }

  get port(): number {
    const address = this.#server?.address() as AddressInfo | null | undefined
    return address?.port ?? 0
  }

  close(): void {
    this.#server?.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  async #listen(server: Server): Promise<this> {
    this.#server = server
    server.on('connection', (socket: Socket) => this.#keep(socket))
    // A client that does not trust hangs up.
    server.on('tlsClientError', () => undefined)
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return this
  }

  /** Whether it is let through; if not, why, as an answer. */
  #refusal(request: IncomingMessage): string | undefined {
    this.asked.push(`${request.method} ${request.url}`)
    const { credentials, refusal } = this.#options
    if (refusal !== undefined) return refusal === 0 ? '' : `HTTP/1.1 ${refusal} No\r\ncontent-length: 0\r\n\r\n`
    const given = request.headers['proxy-authorization']
    if (credentials === undefined || given === `Basic ${btoa(credentials)}`) return undefined
    const page = `you are not ${given}`
    return `HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: ${page.length}\r\n\r\n${page}`
  }

  #tunnel(request: IncomingMessage, socket: Socket): void {
    const refusal = this.#refusal(request)
    if (this.#options.isSilent === true) return
    if (refusal !== undefined) return void socket.end(refusal)
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
    this.#join(socket)
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const refusal = this.#refusal(request)
    if (this.#options.isSilent === true) return
    if (refusal !== undefined) return void request.socket.end(refusal)
    const { method, headers, url = '' } = request
    const { 'proxy-authorization': _, ...passed } = headers
    const path = new URL(url).pathname
    const onward = ask({ host: '127.0.0.1', port: this.#options.upstream, path, method, headers: passed }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers)
      answer.pipe(response)
    })
    request.pipe(onward)
  }

  async #socks(socket: Socket): Promise<void> {
    await next(socket)
    socket.write(Buffer.from([5, 0]))
    const request = await next(socket)
    // By name, as `socks5h` asks, or by an IPv4 address.
    const isName = request[3] === 3
    const end = isName ? 5 + (request[4] ?? 0) : 8
    const host = isName ? request.toString('latin1', 5, end) : request.subarray(4, end).join('.')
    this.asked.push(`SOCKS ${host}:${request.readUInt16BE(end)}`)
    socket.write(Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 0]))
    this.#join(socket)
  }

  /** Puts the server behind a socket. */
  #join(socket: Socket): void {
    const { behind, upstream } = this.#options
    const near = behind === undefined ? socket : this.#keep(new TLSSocket(socket, { isServer: true, ...behind }))
    const far = this.#keep(connect(upstream, '127.0.0.1'))
    pipeline(near, far, near, () => undefined)
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    return socket
  }
}

/** The next message, which is short enough to come at once. */
async function next(socket: Socket): Promise<Buffer> {
  for (;;) {
    const data = socket.read() as Buffer | null
    if (data !== null) return data
    await once(socket, 'readable')
  }
}
