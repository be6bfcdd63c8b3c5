/** LiteLLM's proxy, before servers of llama.cpp and before its own mocked answers. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Child, Mortal } from './child'
import { Llamas } from './llama'
import { type Endpoint, type Killable, type Kind, type Server, KEY, SMALL, openaiFormat } from './server'

/** Models that answer without anything behind them, in LiteLLM's own words for it. */
const MOCKED: Record<string, object> = {
  said: { mock_response: 'three small words' },
  'rate-limited': { mock_response: 'litellm.RateLimitError' },
  broken: { mock_response: 'litellm.InternalServerError' },
  'too-long': { mock_response: 'litellm.ContextWindowExceededError' },
  filtered: { mock_response: 'Exception: content_filter_policy' },
  overloaded: { mock_response: 'Exception: mock_streaming_error' },
  slow: { mock_response: 'late', mock_timeout: true, timeout: 0.2 },
  'once-a-minute': { mock_response: 'once', rpm: 1 },
  caller: {
    mock_response: '',
    mock_tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } }],
  },
  vector: { mock_response: [0.5, -0.25, 1] },
}

/** LiteLLM's list of models: what is asked for under which name, and where. */
function listed(behind: Record<string, Endpoint>): object[] {
  const real = Object.entries(behind).map(([model_name, { baseUrl, apiKey, model }]) => ({
    model_name,
    litellm_params: { model: `openai/${model}`, api_base: baseUrl, api_key: apiKey },
  }))
  const mocked = Object.entries(MOCKED).map(([model_name, answer]) => ({
    model_name,
    litellm_params: { model: `openai/${model_name}`, api_key: 'none', ...answer },
  }))
  return [...real, ...mocked]
}

function begin(folder: string, port: number): Promise<Child> {
  const script = join(import.meta.dirname, 'python/until_closed.py')
  const config = join(folder, 'config.yaml')
  const args = [script, 'litellm.proxy.proxy_cli', '--config', config, '--host', '127.0.0.1', '--port', String(port)]
  // Nothing is to be asked of the network: what models cost comes from the package.
  const env = { LITELLM_LOCAL_MODEL_COST_MAP: 'True', LITELLM_TELEMETRY: 'False', HF_HUB_OFFLINE: '1' }
  return Child.start({ python: 'litellm', args, cwd: folder, env })
}

/** With what only LiteLLM has. */
export interface Proxy extends Server {
  /** A model that it mocks. */
  mocked(model: string): Endpoint
  /** The server behind the model `behind`, which can be killed. */
  behind: Killable
  /** That model. */
  before: Endpoint
  /** A model whose own server does not let LiteLLM in. */
  lockedOut: Endpoint
}

export const litellm: Kind & { start(model: string): Promise<Proxy> } = {
  name: 'litellm',
  distribution: 'litellm',
  title: 'LiteLLM’s proxy before that: `litellm`',
  format: openaiFormat,
  long: 3_000,
  // Milliseconds, but seconds now and then: who left is gone at once, the server behind it is told later.
  leavingMs: 20_000,
  async start(model) {
    const llamas = new Llamas(model)
    const [counter, small, vectors, other, behind] = await Promise.all([
      llamas.start(),
      llamas.start({ alias: 'small', context: SMALL }),
      llamas.start({ alias: 'vectors', embedding: true, context: 2 * SMALL }),
      llamas.start(),
      llamas.mortal(),
    ])
    const folder = await mkdtemp(join(tmpdir(), 'thryd-litellm-'))
    const lockedOut = { ...counter, apiKey: 'sk-other' }
    const config = {
      model_list: listed({ counter, small, vectors, behind: behind.endpoint, 'locked-out': lockedOut }),
      // It is thryd that tries again and lets rest; LiteLLM is to tell what it sees.
      router_settings: { num_retries: 0, disable_cooldowns: true, enable_pre_call_checks: true },
      litellm_settings: { num_retries: 0, request_timeout: 60 },
      general_settings: { master_key: KEY },
    }
    await writeFile(join(folder, 'config.yaml'), JSON.stringify(config))
    const proxy = await begin(folder, 0)
    let mortal: Mortal | undefined
    const endpoint = (name: string): Endpoint => ({ baseUrl: `${proxy.url}/v1`, apiKey: KEY, model: name })
    return {
      counter: endpoint('counter'),
      caller: endpoint('counter'),
      small: endpoint('small'),
      vectors: endpoint('vectors'),
      other,
      behind,
      before: endpoint('behind'),
      lockedOut: endpoint('locked-out'),
      mocked: endpoint,
      async mortal() {
        mortal ??= await Mortal.start((port) => begin(folder, port))
        await mortal.revive()
        return { endpoint: { ...endpoint('counter'), baseUrl: `${mortal.url}/v1` }, server: mortal }
      },
      async close() {
        await Promise.all([proxy, mortal].map((child) => child?.kill()))
        await llamas.close()
        await rm(folder, { recursive: true })
      },
    }
  },
}
