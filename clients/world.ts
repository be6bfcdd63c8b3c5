/** Routers behind a handler, before a provider on a real socket that does what a test says. */

import { CompletionRouter, EmbeddingRouter, ResponsesRouter } from '..'
import { toFetch } from '../dist/fetch'
import { FaultServer, type LoggedRequest } from '../dist/testing'
import { type Gateway, serve } from './gateway'

/** The only key that is let in. */
export const KEY = 'team-key'

/** Made anew for each test, so that no failure is remembered. */
export class World {
  /** What clients are given. */
  fetch: typeof fetch
  base = 'http://thryd.local/v1'
  readonly #completion: CompletionRouter
  readonly #responses: ResponsesRouter
  readonly #embedding: EmbeddingRouter
  #gateway: Gateway | undefined
  #isHurried = false

  private constructor(readonly server: FaultServer) {
    // Clients are looked at here, so that nothing is tried again behind their backs.
    const options = { providers: [server.provider()], retry: { maxRetries: 0, cooldownMs: 1 } }
    this.#completion = new CompletionRouter({ ...options, cache: {} })
    this.#completion.deploy('default', 'faulty::m').deploy('silent', 'faulty::hang')
    this.#responses = new ResponsesRouter({ ...options, cache: {} })
    this.#responses.deploy('default', 'faulty::m').deploy('silent', 'faulty::hang')
    this.#embedding = new EmbeddingRouter(options).deploy('vectors', 'faulty::v')
    this.fetch = toFetch({
      completion: this.#completion,
      responses: this.#responses,
      embedding: this.#embedding,
      authorize: (request) => request.headers.get('authorization') === `Bearer ${KEY}`,
      options: () => (this.#isHurried ? { attemptMs: 50 } : {}),
    }) as typeof fetch
  }

  /** Either the handler is the clients' `fetch`, or it answers them behind node:http. */
  static async start(isServed: boolean): Promise<World> {
    const world = new World(await FaultServer.start())
    if (isServed) {
      world.#gateway = await serve(world.fetch)
      world.base = world.#gateway.base
      world.fetch = fetch
    }
    return world
  }

  /** The newest request that the provider got. */
  get last(): LoggedRequest {
    const last = this.server.requests.at(-1)
    if (last === undefined) throw new Error('the provider was not asked')
    return last
  }

  /** From now on, a provider has 50 ms for all of its answer. */
  hurry(): void {
    this.#isHurried = true
  }

  /** Done when the provider has lost the client of its newest request. */
  async left(): Promise<void> {
    await this.server.waitFor(() => this.server.requests.at(-1)?.endedBy === 'client')
  }

  async close(): Promise<void> {
    this.#gateway?.close()
    await this.#completion.close()
    await this.#responses.close()
    await this.#embedding.close()
    await this.server.close()
  }
}
