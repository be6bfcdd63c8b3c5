/** A handler of `thryd/fetch` behind `node:http`, as `examples/gateway.mjs` has it. */

import { once } from 'node:events'
import { type Server, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import type { FetchHandler } from 'thryd/fetch'

/** Starts one on a free port. @returns its base URL, and what ends it */
export async function served(handler: FetchHandler): Promise<{ url: string; close(): void }> {
  const server: Server = createServer((incoming, outgoing) => {
    const left = new AbortController()
    outgoing.on('close', () => left.abort())
    const { method = 'GET', url = '/', headers } = incoming
    const body = method === 'GET' ? undefined : Readable.toWeb(incoming)
    const init = { method, headers, body, duplex: 'half', signal: left.signal } as RequestInit
    const answer = async (): Promise<void> => {
      const response = await handler(new Request(`http://${headers.host}${url}`, init))
      // A body that was refused unread is in the way of the next request.
      if (!incoming.complete) outgoing.setHeader('connection', 'close')
      outgoing.writeHead(response.status, Object.fromEntries(response.headers))
      await pipeline(response.body as never, outgoing)
    }
    void answer().catch(() => outgoing.destroy())
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const close = (): void => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, close }
}
