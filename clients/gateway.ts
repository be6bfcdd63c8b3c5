/** A handler behind node:http, as examples/gateway.mjs has it. */

import { once } from 'node:events'
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** Where it listens. */
export interface Gateway {
  base: string
  close(): void
}

export async function serve(handler: typeof fetch): Promise<Gateway> {
  const server = createServer((incoming, outgoing) => void answer(handler, incoming, outgoing))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const close = (): void => {
    server.close()
    server.closeAllConnections()
  }
  return { base: `http://127.0.0.1:${port}/v1`, close }
}

async function answer(handler: typeof fetch, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const { method, url, headers } = incoming
  const left = new AbortController()
  outgoing.on('close', () => left.abort())
  const body = method === 'GET' ? null : Readable.toWeb(incoming)
  const init = { method, headers, body, duplex: 'half', signal: left.signal } as unknown as RequestInit
  try {
    const response = await handler(new Request(`http://${headers.host}${url}`, init))
    if (!incoming.complete) outgoing.setHeader('connection', 'close')
    outgoing.writeHead(response.status, Object.fromEntries(response.headers))
    await pipeline(Readable.fromWeb(response.body as never), outgoing)
  } catch {
    // The client left, or the answer broke: it must not look like an end.
    outgoing.destroy()
  }
}
