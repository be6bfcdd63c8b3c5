/** No page shows what does not compile, does not run or is not so. */

import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

import { FaultServer } from 'thryd/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Authority } from '../support/authority.js'
import { Proxy } from '../support/proxy.js'
import { PAGES, blocksOf, root } from './blocks.js'
import { claimsIn, isPiece, program } from './program.js'

/** What is compiled here and run elsewhere, or nowhere: by page and section, or page and file. */
const NOT_RUN: Record<string, string> = {
  'docs/docker.md Dockerfile':
    'no test starts Docker; its commands and its instructions are looked at, and server.mjs is run',
  'docs/docker.md alpine.Dockerfile': 'the same',
  'docs/nextjs.md next.config.mjs': 'examples/next has it, and `npm run next` builds that and asks it in a browser',
}

/** What needs packages that are not installed here: compiled and run where they are. */
const ELSEWHERE: Record<string, string> = {
  'docs/clients.md': 'clients/pages.test.ts, with the SDKs',
}

/** Files that are run by asking them something. Prints nothing if all is well. */
const ASKED: Record<string, string> = {
  'docs/nextjs.md': `
    import { registerHooks } from 'node:module'
    // As the bundler of Next.js does.
    const here = 'file://' + process.cwd() + '/'
    const resolve = (name, context, next) => next(name.startsWith('@/') ? here + name.slice(2) + '.ts' : name, context)
    registerHooks({ resolve })
    const body = { model: 'default', messages: [{ role: 'user', content: 'two words' }] }
    const post = (body) => new Request('http://localhost/api/v1/chat/completions', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    const api = await import('./app/api/v1/[...path]/route.ts')
    const answer = await api.POST(post(body))
    const text = await answer.text()
    if (!text.includes('"two words"')) throw new Error(text)
    if ((await api.GET(new Request('http://localhost/api/v1/models'))).status !== 200) throw new Error('no models')
    const story = await import('./app/api/story/route.ts')
    const told = await (await story.POST(post({ topic: 'tea' }))).text()
    if (told !== 'Tell me a story about tea.') throw new Error(told)
    process.exit()
  `,
  'docs/serverless.md': `
    import { handler } from './handler.mjs'
    for (const cache of ['miss', 'memory']) {
      const { body } = await handler({ body: JSON.stringify({ message: 'two words' }) })
      if (body !== JSON.stringify({ text: 'two words', cache })) throw new Error(body)
    }
  `,
  'docs/docker.md': `
    import { createServer } from 'node:http'
    const free = createServer().listen(0)
    process.env.PORT = String(free.address().port)
    await new Promise((resolve) => free.close(resolve))
    await import('./server.mjs')
    const answer = await fetch('http://127.0.0.1:' + process.env.PORT + '/two%20words')
    if ((await answer.text()) !== 'two words') throw new Error('no answer')
    process.kill(process.pid, 'SIGTERM')
  `,
}

const folder = mkdtempSync(join(tmpdir(), 'thryd-pages-'))
const blocks = PAGES.flatMap(blocksOf)
const here = blocks.filter(({ page }) => !(page in ELSEWHERE))
const folders = new Map(PAGES.map((page) => [page, join(folder, page.replaceAll(/\W/g, '-'))]))
const programs = PAGES.filter((page) => here.some((block) => block.page === page && isPiece(block)))

let server: FaultServer
let proxy: Proxy
let env: Record<string, string>

beforeAll(async () => {
  write()
  server = await FaultServer.start()
  const authority = new Authority()
  // Whoever the pages ask, on whatever host, is the server that echoes.
  const behind = authority.identity('api.openai.com', '*.openai.com', 'api.mistral.ai', 'api.groq.com', 'api.jina.ai')
  proxy = await Proxy.http({ upstream: server.port, behind })
  const keys = ['OPENAI', 'AZURE_OPENAI', 'MISTRAL', 'GROQ', 'JINA', 'EU'].map((name) => [`${name}_API_KEY`, 'a-key'])
  const kept = Object.entries(process.env).filter(([name]) => !/_(KEY|URL|proxy)$|^VITEST|^NODE_ENV$/i.test(name))
  env = {
    ...Object.fromEntries([...kept, ...keys]),
    EU_KEY: 'a-key',
    // openssl rand -base64 32
    CACHE_KEY: 'YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU=',
    TMPDIR: folder,
    HTTPS_PROXY: `http://127.0.0.1:${proxy.port}`,
    NODE_EXTRA_CA_CERTS: authority.file,
  }
})

afterAll(async () => {
  proxy.close()
  await server.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Every page in a folder of its own, as a project that has the package installed. */
function write(): void {
  mkdirSync(join(folder, 'node_modules/@types'), { recursive: true })
  symlinkSync(root, join(folder, 'node_modules/thryd'), 'junction')
  for (const name of ['@types/node', 'undici-types', 'vitest'])
    if (existsSync(join(root, 'node_modules', name)))
      symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name), 'junction')
  const world = readFileSync(join(import.meta.dirname, 'world.mts'), 'utf8')
  cpSync(join(import.meta.dirname, 'world.mts'), join(folder, 'world.mts'))
  const known = [...(/return \{\n([^]*?)\n {2}\}/.exec(world)?.[1] ?? '').matchAll(/^ {4}(\w+)/gm)].map(
    ([, name]) => name ?? '',
  )
  const compilerOptions = {
    target: 'es2023',
    lib: ['esnext'],
    module: 'nodenext',
    types: ['node'],
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
  const paths = { '@/*': ['./docs-nextjs-md/*.ts'] }
  put('tsconfig.json', JSON.stringify({ compilerOptions: { ...compilerOptions, paths } }))
  put('package.json', JSON.stringify({ type: 'module' }))
  // What the README says was exported before.
  put(join(folders.get('README.md') ?? '', 'fixtures.jsonl'), '{"thryd":"export","version":1,"keys":1}\n')
  for (const [page, path] of folders) {
    const own = here.filter((block) => block.page === page)
    mkdirSync(path, { recursive: true })
    for (const { file, code } of own) if (file !== undefined) put(join(path, file), code)
    if (programs.includes(page)) put(join(path, 'program.mts'), program(own.filter(isPiece), known))
  }
}

function put(path: string, text: string): void {
  const place = path.startsWith(folder) ? path : join(folder, path)
  mkdirSync(dirname(place), { recursive: true })
  writeFileSync(place, text)
}

/** Runs Node in the folder of a page; rejects unless it ends well, and gives what it complained of. */
async function node(page: string, parameters: string[], variables = env): Promise<string> {
  const options = { cwd: folders.get(page) ?? '', env: variables, timeout: 15_000 }
  const { stderr } = await promisify(execFile)(process.execPath, parameters, options)
  return stderr
}

describe('the JavaScript and TypeScript of the pages', () => {
  test('compiles with the typings of the package', async () => {
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout } = await promisify(execFile)(process.execPath, [tsc, '-p', '.'], { cwd: folder }).catch(
      (error: { stdout: string }) => error,
    )
    expect(stdout).toBe('')
  })

  test.concurrent.each(programs)('%s runs, and what it claims is so', async (page) => {
    expect(await node(page, ['program.mts'])).toBe('')
  })

  test.concurrent.each(Object.keys(ASKED))('the files of %s do what they are there for', async (page) => {
    expect(await node(page, ['--input-type=module', '--eval', ASKED[page] ?? ''])).toBe('')
  })

  test('records and replays with Vitest', async () => {
    const page = 'docs/vitest.md'
    const vitest = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--root', '.']
    const { HTTPS_PROXY: _proxy, OPENAI_API_KEY: _key, ...replaying } = env
    await expect(node(page, vitest, replaying)).rejects.toThrow('not in the cache')
    for (const pool of ['forks', 'threads']) {
      rmSync(join(folders.get(page) ?? '', 'test/city.jsonl'), { force: true })
      const all = [...vitest, '--pool', pool]
      expect(await node(page, all, { ...env, RECORD: '1' })).toBe('')
      expect(await node(page, all, replaying)).toBe('')
    }
  })

  test('claims something, so that claims are read', () => {
    const texts = programs.map((page) => readFileSync(join(folders.get(page) ?? '', 'program.mts'), 'utf8'))
    expect(texts.map(claimsIn).reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(5)
  })

  test('is run, or it is said why not', () => {
    const files = here.filter(({ file }) => file !== undefined)
    const forgotten = files.filter(
      ({ page, file }) => !(page in ASKED) && page !== 'docs/vitest.md' && !(`${page} ${file}` in NOT_RUN),
    )
    expect(forgotten.map(({ page, file }) => `${page} ${file}`)).toEqual([])
    const all = new Set(files.map(({ page, file }) => `${page} ${file}`))
    expect(Object.keys(NOT_RUN).filter((name) => !all.has(name))).toEqual([])
    expect(Object.keys(ELSEWHERE).filter((page) => !PAGES.includes(page))).toEqual([])
  })
})

describe('a block', () => {
  test('is in a language that is looked at', () => {
    const languages = new Set(['dockerfile', 'js', 'json', 'rust', 'sh', 'text', 'ts'])
    const others = blocks.filter(({ language }) => !languages.has(language))
    expect(others.map(({ page, line, language }) => `${page}:${line} ${language}`)).toEqual([])
  })

  test.each(blocks.filter(({ language }) => language === 'json'))('of JSON is JSON: $page:$line', ({ code }) => {
    expect(() => JSON.parse(code.replace(/^\/\/.*\n/, '')) as unknown).not.toThrow()
  })

  test.each(blocks.filter(({ language }) => language === 'sh'))(
    'of commands has none that is not there: $page:$line',
    ({ code }) => {
      expect(commands(code).filter((command) => !exists(command))).toEqual([])
    },
  )

  test.each(blocks.filter(({ language }) => language === 'dockerfile'))(
    'of Docker has its instructions: $page:$line',
    ({ code }) => {
      const lines = code
        .replaceAll(/\\\n/g, ' ')
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
      for (const line of lines) expect(line).toMatch(/^(FROM|WORKDIR|COPY|RUN|ENV|USER|CMD|VOLUME) \S/)
      const run = lines
        .filter((line) => line.startsWith('RUN '))
        .map((line) => line.slice('RUN '.length).replace(/^--\S+ /, ''))
      expect(run.flatMap(commands).filter((command) => !exists(command))).toEqual([])
    },
  )

  test('of Rust is compiled by Cargo', () => {
    const library = readFileSync(join(root, 'src/lib.rs'), 'utf8')
    // The one of the README is an example: `examples.test.ts`.
    const others = blocks.filter(({ language, page }) => language === 'rust' && page !== 'README.md')
    expect(others.filter(({ page }) => !library.includes(`include_str!("../${page}")`))).toEqual([])
  })
})

/** The commands of a script, without what it says of them. */
function commands(script: string): string[] {
  const lines = script.split('\n').map((line) => line.replace(/(^| +)#.*$/, ''))
  return lines
    .flatMap((line) => line.split(/ && | \| /))
    .map((text) => text.trim())
    .filter((text) => text !== '')
}

/** Whether what a command calls is a script of the package, a file of the clone, or a program that users have. */
function exists(command: string): boolean {
  const [name, first = '', second = ''] = command.replace(/^(\w+=\S* )+/, '').split(' ')
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  if (name === 'npm' && first === 'run') return second in scripts
  if (name === 'npm') return ['ci', 'install', 'start', 'test'].includes(first)
  if (name === 'node') return existsSync(join(root, first)) || here.some(({ file }) => file === first)
  if (name === 'npx') return existsSync(join(root, 'node_modules/.bin', first)) || first === 'next'
  if (name?.startsWith('scripts/') === true) return existsSync(join(root, name))
  return ['apk', 'apt-get', 'cargo', 'cd', 'docker', 'export', 'rm', 'update-ca-certificates'].includes(name ?? '')
}
