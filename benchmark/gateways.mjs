// Gateways that one would run in front of the provider: Portkey's from npm, LiteLLM's proxy from PyPI. Each a process.

import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const START_MS = 90_000

/** LiteLLM's proxy does not start without one. */
const KEY = 'sk-nobody-else-is-here'

const at = (place) => join(place, 'bin/python')

/** The environment of Python that has LiteLLM, the one of `npm run servers` or one that is made now. */
function python() {
  const places = [join(ROOT, 'servers/.venv/litellm'), join(import.meta.dirname, '.venv/litellm')]
  const found = places.find((place) => existsSync(join(place, 'bin/litellm')))
  if (found) return at(found)
  const [, place] = places
  console.log('installing LiteLLM into benchmark/.venv: a minute')
  const flags = ['--quiet', '--no-input', '--disable-pip-version-check', '--only-binary', ':all:', '--requirement']
  try {
    execFileSync('python3', ['-m', 'venv', place], { stdio: 'pipe' })
    const install = ['-m', 'pip', 'install', ...flags, join(ROOT, 'servers/requirements/litellm.txt')]
    execFileSync(at(place), install, { stdio: 'pipe', timeout: 600_000 })
  } catch (error) {
    rmSync(place, { recursive: true, force: true })
    const why = String(error.stderr || error.message)
      .trim()
      .split('\n')
      .at(-1)
    throw new Error(`LiteLLM could not be installed: ${why}`, { cause: error })
  }
  return at(place)
}

/** How each is started, and how it is asked for the mock server. */
const KINDS = {
  portkey(baseUrl, port) {
    const script = join(import.meta.dirname, 'node_modules/@portkey-ai/gateway/build/start-server.js')
    if (!existsSync(script)) throw new Error('@portkey-ai/gateway is not installed')
    return {
      command: process.execPath,
      args: [script, '--headless', `--port=${port}`],
      // It asks nobody but hosts that are named when that is this machine.
      env: { PORT: String(port), NODE_ENV: 'production', TRUSTED_CUSTOM_HOSTS: '127.0.0.1,localhost' },
      extra: { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': baseUrl },
    }
  },
  litellm(baseUrl, port, folder) {
    const config = join(folder, 'config.yaml')
    const litellm_params = { model: 'openai/model', api_base: baseUrl, api_key: 'none' }
    const general_settings = { master_key: KEY }
    writeFileSync(config, JSON.stringify({ model_list: [{ model_name: 'model', litellm_params }], general_settings }))
    return {
      command: python(),
      args: ['-m', 'litellm.proxy.proxy_cli', '--config', config, '--host', '127.0.0.1', '--port', String(port)],
      // Nothing is to be asked of the network: what models cost comes from the package.
      env: {
        LITELLM_LOCAL_MODEL_COST_MAP: 'True',
        LITELLM_TELEMETRY: 'False',
        HF_HUB_OFFLINE: '1',
        LITELLM_LOG: 'ERROR',
      },
      extra: { authorization: `Bearer ${KEY}` },
      version: () => {
        const show = ['-c', 'import importlib.metadata as m; print(m.version("litellm"))']
        return execFileSync(python(), show, { encoding: 'utf8' }).trim()
      },
    }
  },
}

/**
 * Starts one in front of the server at `baseUrl`.
 *
 * @returns `url` and `extra` headers for who asks it, `version` if it is not that of a package, `stop()`
 */
export async function startGateway(kind, baseUrl) {
  const folder = mkdtempSync(join(tmpdir(), 'thryd-gateway-'))
  const port = await freePort()
  const { command, args, env, extra, version } = KINDS[kind](baseUrl, port, folder)
  const child = spawn(command, args, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said = `${said}${data}`.slice(-2000)))
  const stop = () => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  const url = `http://127.0.0.1:${port}/v1`
  const until = performance.now() + START_MS
  for (let error; ; await new Promise((resolve) => setTimeout(resolve, 250))) {
    if (child.exitCode !== null || performance.now() > until) {
      stop()
      const last = said.trim().split('\n').at(-1)
      throw new Error(`it did not start: ${last || error}`)
    }
    try {
      const headers = { 'content-type': 'application/json', authorization: 'Bearer none', ...extra }
      const body = JSON.stringify({ model: 'model', messages: [{ role: 'user', content: 'Hi' }] })
      const response = await fetch(`${url}/chat/completions`, { method: 'POST', headers, body })
      const text = await response.text()
      if (response.ok) break
      error = `${response.status} ${text.slice(0, 200)}`
    } catch (failure) {
      error = failure.message
    }
  }
  return { url, extra, version: version?.(), stop }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}
