/** The pages as projects that have the package installed, in a place where every provider is one server that echoes. */

import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

import { FaultServer } from 'thryd/testing'

import { Authority } from '../support/authority.js'
import { Proxy } from '../support/proxy.js'
import { type Block, root } from './blocks.js'
import { isPiece, program } from './program.js'

/** The hosts of the providers that the pages ask. */
const HOSTS = ['api.openai.com', '*.openai.com', 'api.mistral.ai', 'api.groq.com', 'api.jina.ai']
const KEYS = ['OPENAI_API_KEY', 'AZURE_OPENAI_API_KEY', 'MISTRAL_API_KEY', 'GROQ_API_KEY', 'JINA_API_KEY', 'EU_KEY']

const SETTINGS = {
  target: 'es2023',
  lib: ['esnext'],
  module: 'nodenext',
  types: ['node'],
  paths: { '@/*': ['./docs-nextjs-md/*.ts'] },
  strict: true,
  exactOptionalPropertyTypes: true,
  // What JavaScript does not say: the types of parameters, and what a `catch` has caught.
  noImplicitAny: false,
  useUnknownInCatchVariables: false,
  allowImportingTsExtensions: true,
  allowJs: true,
  checkJs: true,
  skipLibCheck: true,
  noEmit: true,
}

/** All of them. */
export class Project {
  /** What their programs find in the environment: a key for everyone, and the way to the server. */
  env: Record<string, string> = {}
  readonly #folder = mkdtempSync(join(tmpdir(), 'thryd-pages-'))
  readonly #authority = new Authority()
  #server: FaultServer | undefined
  #proxy: Proxy | undefined

  /** Writes the blocks down, a folder for each page. */
  constructor(blocks: Block[]) {
    mkdirSync(join(this.#folder, 'node_modules/@types'), { recursive: true })
    symlinkSync(root, join(this.#folder, 'node_modules/thryd'), 'junction')
    for (const name of ['@types/node', 'undici-types', 'vitest']) {
      const installed = join(root, 'node_modules', name)
      if (existsSync(installed)) symlinkSync(installed, join(this.#folder, 'node_modules', name), 'junction')
    }
    const world = join(import.meta.dirname, 'world.mts')
    cpSync(world, join(this.#folder, 'world.mts'))
    put(join(this.#folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: SETTINGS }))
    put(join(this.#folder, 'package.json'), JSON.stringify({ type: 'module' }))
    for (const page of new Set(blocks.map((block) => block.page))) {
      const own = blocks.filter((block) => block.page === page)
      for (const { file, code } of own) if (file !== undefined) put(this.path(page, file), code)
      if (own.some(isPiece)) put(this.path(page, 'program.mts'), program(own.filter(isPiece), names(world)))
    }
    // What the README says was exported before.
    put(this.path('README.md', 'fixtures.jsonl'), '{"thryd":"export","version":1,"keys":1}\n')
  }

  /** Starts the server, and the proxy through which it is whoever is asked for. */
  async start(): Promise<void> {
    this.#server = await FaultServer.start()
    this.#proxy = await Proxy.http({ upstream: this.#server.port, behind: this.#authority.identity(...HOSTS) })
    const kept = Object.entries(process.env).filter(([name]) => !/_(KEY|URL|proxy)$|^VITEST|^NODE_ENV$/i.test(name))
    this.env = {
      ...Object.fromEntries([...kept, ...KEYS.map((name) => [name, 'a-key'])]),
      CACHE_KEY: btoa('a key of exactly 32 bytes, as is'),
      TMPDIR: this.#folder,
      HTTPS_PROXY: `http://127.0.0.1:${this.#proxy.port}`,
      NODE_EXTRA_CA_CERTS: this.#authority.file,
    }
  }

  async close(): Promise<void> {
    this.#proxy?.close()
    await this.#server?.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** A file of a page. */
  path(page: string, file = ''): string {
    return join(this.#folder, page.replaceAll(/\W/g, '-'), file)
  }

  /** What the compiler says of all. */
  async compile(): Promise<string> {
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const compiling = promisify(execFile)(process.execPath, [tsc, '-p', '.'], { cwd: this.#folder })
    return (await compiling.catch((error: { stdout: string }) => error)).stdout
  }

  /** Runs Node in the folder of a page; rejects unless it ends well, and gives what it complained of. */
  async node(page: string, parameters: string[], env = this.env): Promise<string> {
    const options = { cwd: this.path(page), env, timeout: 30_000 }
    return (await promisify(execFile)(process.execPath, parameters, options)).stderr
  }
}

function put(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

/** The names that the world has. */
function names(world: string): string[] {
  const [, list = ''] = /return \{\n([^]*?)\n {2}\}/.exec(readFileSync(world, 'utf8')) ?? []
  return [...list.matchAll(/^ {4}(\w+)/gm)].map(([, name]) => name ?? '')
}
