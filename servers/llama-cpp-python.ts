/** The server of llama-cpp-python: llama.cpp's library behind FastAPI, with its own wire. */

import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Child, Mortal } from './child'
import { type Endpoint, type Kind, KEY, SMALL } from './server'

/** Tokens of the others: a logit of every word for each of them is kept, for log probabilities. */
const LARGE = 16_384

interface Options {
  /** How tools are called: in the words of one of its chat formats, or not at all. */
  calls: boolean
  alias: string
  context: number
  embedding: boolean
  port: number
}

const COUNTER: Options = { calls: false, alias: 'counter', context: LARGE, embedding: false, port: 0 }

function begin(model: string, { calls, alias, context, embedding, port }: Options): Promise<Child> {
  const script = join(import.meta.dirname, 'python/until_closed.py')
  const options = {
    model,
    model_alias: alias,
    n_ctx: context,
    api_key: KEY,
    host: '127.0.0.1',
    port,
    embedding,
    n_threads: 1,
    n_threads_batch: 1,
    logits_all: !calls,
    ...(calls && { chat_format: 'chatml-function-calling' }),
    verbose: false,
  }
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
  return Child.start({ python: 'llama-cpp-python', args: [script, 'llama_cpp.server', ...flags], cwd: tmpdir() })
}

function named({ url }: { url: string }, alias = COUNTER.alias): Endpoint {
  return { baseUrl: `${url}/v1`, apiKey: KEY, model: alias }
}

export const llamaCppPython: Kind = {
  name: 'llama-cpp-python',
  distribution: 'llama_cpp_python',
  long: 500,
  leavingMs: 5_000,
  title: 'llama-cpp-python’s server: `llama_cpp_python`',
  format: ({ schema }) => ({ type: 'json_object', schema }),
  async start(model) {
    const children: Child[] = []
    let mortal: Mortal | undefined
    const start = async (options: Partial<Options> = {}): Promise<Endpoint> => {
      const child = await begin(model, { ...COUNTER, ...options })
      children.push(child)
      return named(child, options.alias)
    }
    const [counter, caller, small, vectors, other] = await Promise.all([
      start(),
      start({ calls: true, alias: 'caller' }),
      start({ alias: 'small', context: SMALL }),
      start({ alias: 'vectors', embedding: true, context: 2 * SMALL }),
      start(),
    ])
    return {
      counter,
      caller,
      small,
      vectors,
      other,
      async mortal() {
        mortal ??= await Mortal.start((port) => begin(model, { ...COUNTER, port }))
        await mortal.revive()
        return { endpoint: named(mortal), server: mortal }
      },
      async close() {
        await Promise.all([mortal, ...children].map((child) => child?.kill()))
      },
    }
  },
}
