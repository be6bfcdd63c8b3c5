/** What the tests of the fault server share: one server, and ways to ask it. */

import { afterAll, afterEach, beforeAll } from 'vitest'

import { FaultServer } from 'thryd/testing'

import { type Heard, post } from './raw'

/** What every chat here says. */
export const CONTENT = 'one two three four'

/** A server for the tests of one file: as new for each of them. */
export let server: FaultServer
const open: Heard[] = []

/** To be called by the file, so that its tests have a server. */
export function serveFaults(): void {
  beforeAll(async () => {
    server = await FaultServer.start()
  })
  afterEach(() => {
    for (const { socket } of open.splice(0)) socket.destroy()
    server.reset()
  })
  afterAll(() => server.close())
}

const messages = [{ role: 'user', content: CONTENT }]

/** A chat on a socket of its own, which is closed after a whole answer. */
export function chat(model: string, body: object = {}, to = server): Heard {
  const heard = post(to.port, '/v1/chat/completions', { model, messages, ...body }, { connection: 'close' })
  open.push(heard)
  return heard
}

/** A chat by `fetch`. */
export async function fetched(model: string, body: object = {}, to = server): Promise<Response> {
  return fetch(`${to.url}/chat/completions`, { method: 'POST', body: JSON.stringify({ model, messages, ...body }) })
}

/** The statuses of so many chats, one after the other. */
export async function statuses(model: string, count: number, to = server): Promise<number[]> {
  const all = []
  for (let place = 0; place < count; place++) {
    const response = await fetched(model, {}, to)
    await response.arrayBuffer()
    all.push(response.status)
  }
  return all
}
