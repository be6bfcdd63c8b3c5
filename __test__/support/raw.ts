/** One request on a socket of its own, and exactly what came back: for tests that fear what a client library would hide. */

import { type Socket, connect } from 'node:net'

/** What a socket heard. */
export class Heard {
  readonly socket: Socket
  text = ''
  /** How the other side ended it; undefined while it is open. */
  end: 'fin' | 'rst' | undefined
  /** Settles with the end. */
  readonly ended: Promise<this>

  constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('utf8').on('data', (text: string) => (this.text += text))
    this.ended = new Promise((resolve) => {
      socket.on('end', () => (this.end = 'fin'))
      socket.on('error', ({ code }: NodeJS.ErrnoException) => {
        if (code === 'ECONNRESET') this.end = 'rst'
      })
      socket.on('close', () => resolve(this))
    })
  }

  /** The status line and the headers. */
  get head(): string {
    return this.text.split('\r\n\r\n', 1)[0] ?? ''
  }

  /** Everything after the headers, as it was framed. */
  get body(): string {
    return this.text.slice(this.head.length + 4)
  }

  /** Whether all of a chunked body has come. */
  get isComplete(): boolean {
    return this.text.endsWith('\r\n0\r\n\r\n')
  }

  /** The data of its events. */
  get events(): string[] {
    return [...this.body.matchAll(/^data: (.*)$/gm)].map(([, data]) => data ?? '')
  }

  /** The text that its events make. */
  get content(): string {
    const pieces = this.events.map((data) => /"content":("(?:[^"\\]|\\.)*")/.exec(data)?.[1] ?? '""')
    return pieces.map((piece) => JSON.parse(piece) as string).join('')
  }
}

/** Posts JSON to a path of 127.0.0.1; the connection is the server's to end. */
export function post(port: number, path: string, body: object, headers: Record<string, string> = {}): Heard {
  const text = JSON.stringify(body)
  const socket = connect(port, '127.0.0.1')
  const lines = Object.entries({ host: 'x', 'content-length': Buffer.byteLength(text), ...headers })
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  socket.write(`POST ${path} HTTP/1.1\r\n${head}\r\n${text}`)
  return new Heard(socket)
}
