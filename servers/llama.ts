/** llama.cpp's own server, in C++, from the wheels of xllamacpp. */

import { join } from 'node:path'
import { tmpdir } from 'node:os'

import { Child, Mortal } from './child'
import { type Endpoint, type Killable, type Kind, KEY, LARGE, SMALL, openaiFormat } from './server'

/** What of it differs from test to test. */
interface Options {
  alias: string
  context: number
  embedding: boolean
  port: number
}

const COUNTER: Options = { alias: 'counter', context: LARGE, embedding: false, port: 0 }

function begin(model: string, options: Options): Promise<Child> {
  const script = join(import.meta.dirname, 'python/llama.py')
  const args = [script, JSON.stringify({ ...options, model, key: KEY })]
  return Child.start({ python: 'llama', args, cwd: tmpdir() })
}

function endpoint({ url }: { url: string }, model: string): Endpoint {
  return { baseUrl: `${url}/v1`, apiKey: KEY, model }
}

/** Servers to be closed together. */
export class Llamas {
  readonly #children: Child[] = []
  #mortal: Mortal | undefined

  constructor(readonly model: string) {}

  async start(options: Partial<Options> = {}): Promise<Endpoint> {
    const child = await begin(this.model, { ...COUNTER, ...options })
    this.#children.push(child)
    return endpoint(child, options.alias ?? COUNTER.alias)
  }

  /** One that can be killed, started at first and whenever it is dead. */
  async mortal(): Promise<Killable> {
    this.#mortal ??= await Mortal.start((port) => begin(this.model, { ...COUNTER, port }))
    await this.#mortal.revive()
    return { endpoint: endpoint(this.#mortal, COUNTER.alias), server: this.#mortal }
  }

  async close(): Promise<void> {
    await Promise.all([this.#mortal, ...this.#children].map((child) => child?.kill()))
  }
}

export const llama: Kind = {
  name: 'llama',
  distribution: 'xllamacpp',
  title: 'llama.cpp’s server: `xllamacpp`',
  format: openaiFormat,
  long: 3_000,
  leavingMs: 5_000,
  async start(model) {
    const llamas = new Llamas(model)
    const [counter, small, vectors, other] = await Promise.all([
      llamas.start(),
      llamas.start({ alias: 'small', context: SMALL }),
      llamas.start({ alias: 'vectors', embedding: true, context: 2 * SMALL }),
      llamas.start(),
    ])
    return {
      counter,
      caller: counter,
      small,
      vectors,
      other,
      mortal: () => llamas.mortal(),
      close: () => llamas.close(),
    }
  },
}
