import { execFileSync } from 'node:child_process'
import { cpSync, symlinkSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Files } from '../support/files'
import { printed, run } from '../support/script'
import { TestServer } from '../support/server'

const root = join(import.meta.dirname, '../..')
let server: TestServer
const files = new Files('loading')

beforeAll(async () => {
  server = await TestServer.start()
})
afterAll(() => server.close())

describe.runIf(process.platform === 'linux')('nothing is begun before it is needed:', () => {
  /** What of this process is new since it was last asked: threads and what is open. */
  const news = `
    import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
    import { createRequire } from 'node:module'
    const [, baseUrl, path, root] = process.argv
    const look = (of, name) => readdirSync('/proc/self/' + of).flatMap((each) => {
      try { return [name('/proc/self/' + of + '/' + each)] } catch { return [] }
    })
    const named = (task) => {
      try { return 'thread ' + readFileSync(task + '/comm', 'utf8').trim() } catch { return 'thread that has ended' }
    }
    // A thread gives itself its name when it first runs, and has that of the process before: it is known by its number.
    const seen = () => [...look('task', (task) => task), ...look('fd', (fd) => readlinkSync(fd))]
    const told = (each) => {
      if (!each.startsWith('/proc/self/task/')) return each
      const until = Date.now() + 5000
      while (named(each) === named('/proc/self') && Date.now() < until);
      return named(each)
    }
    let before = seen()
    const fresh = () => {
      const now = seen()
      const left = [...before]
      const added = now.filter((each) => {
        const at = left.indexOf(each)
        if (at >= 0) left.splice(at, 1)
        return at < 0
      })
      before = now
      return added.map(told)
    }
    const require = createRequire(root + '/script.js')`
  const routers = `
    const { CompletionRouter, EmbeddingRouter, UsageTracker, ThrydError } = require('thryd')
    const providers = [
      { type: 'openai', name: 'far', apiKey: 'sk-not-a-key' },
      { type: 'openai-compatible', name: 'local', baseUrl },
      { name: 'mine', complete: async () => 'x' },
    ]
    const cache = { path, encryptionKey: 'ab'.repeat(32) }
    const router = new CompletionRouter({ cache, providers }).configureGroup('default', { strategy: 'least-loaded' })
    router.deploy('default', 'far::gpt-4o', { rpm: 3, tpm: 50_000, maxConcurrent: 3 }).deploy('local', 'local::m')
    new EmbeddingRouter({ providers: providers.slice(0, 2), cache })
    new UsageTracker({ rpm: 10 }).tryAcquire(1)
    require('thryd/fetch').toFetch({ completion: router })
    void [router.stats(), router.groups(), router.cache]`

  /** A pipe into which nobody writes: whoever reads certificates from it waits for ever. */
  const pipe = () => {
    const path = `${files.fresh()}.pem`
    execFileSync('mkfifo', [path])
    return path
  }

  test('no thread, no file, no certificate, for loading it, for routers, and for what was only set up', async () => {
    const path = files.fresh()
    const source = `${news}
      process.env.SSL_CERT_FILE = process.env.NODE_EXTRA_CA_CERTS = ${JSON.stringify(pipe())}
      require('thryd')
      const loaded = fresh()
      ${routers}
      const made = fresh()
      const refused = await router.invoke('nope', { message: 'Hi' }).catch(({ code }) => code)
      const asked = fresh().filter((each) => !/^thread thryd-io$|^anon_inode|^socket:/.test(each))
      console.log(JSON.stringify({ loaded, made, refused, asked }))`
    expect(await printed(source, server.url, path, root)).toEqual({
      loaded: [],
      made: [],
      refused: 'ERR_NO_GROUP',
      asked: [],
    })
    expect(await readdir(files.folder)).not.toContain(path.split('/').at(-1))
  })

  test('a call begins what it needs, no certificate among it without TLS, and an answer from memory nothing', async () => {
    const source = `${news}${routers}
      fresh()
      process.env.SSL_CERT_FILE = process.env.NODE_EXTRA_CA_CERTS = ${JSON.stringify(pipe())}
      await router.invoke('local', { message: 'Hi' })
      const first = fresh()
      await router.cache.flush()
      fresh()
      const { cache: from } = await router.invoke('local', { message: 'Hi' })
      console.log(JSON.stringify([first.includes('thread thryd-io'), first.includes(path), from, fresh()]))`
    expect(await printed(source, server.url, files.fresh(), root)).toEqual([true, true, 'memory', []])
  })
})

describe('one process may load it', () => {
  const load = `
    import { createRequire } from 'node:module'
    import { pathToFileURL } from 'node:url'
    const [, baseUrl, path, root, other] = process.argv
    const require = createRequire(root + '/script.js')
    const warnings = []
    process.on('warning', ({ message }) => warnings.push(message))
    const reset = () => {
      for (const key of Object.keys(require.cache)) if (key.startsWith(root)) delete require.cache[key]
      return require('thryd')
    }
    const routerOf = ({ CompletionRouter }, cache = path) => new CompletionRouter({ cache, providers: [
      { type: 'openai-compatible', name: 'local', baseUrl },
      { name: 'mine', complete: async ({ messages }) => 'heard ' + messages.at(-1).content },
    ] }).deploy('default', 'local::m').deploy('mine', 'mine::m')
    const print = (value) => console.log(JSON.stringify(value))`

  test('from several places, and again, and all of them share one file', async () => {
    const copy = join(files.folder, 'copy')
    const link = join(files.folder, 'link')
    const parts = (await readdir(root)).filter((name) => /^(dist|package\.json|.*\.node)$/.test(name))
    for (const name of parts) cpSync(join(root, name), join(copy, name), { recursive: true })
    symlinkSync(root, link, 'junction')
    const source = `${load}
      const copies = {
        first: require('thryd'),
        copy: require(other + '/copy'),
        link: require(other + '/link'),
        query: await import(pathToFileURL(root + '/dist/index.js') + '?again'),
        again: reset(),
      }
      const names = Object.keys(copies)
      const routers = names.map((name) => routerOf(copies[name]))
      const asked = []
      for (const router of routers) {
        const { cache } = await router.invoke('default', { message: 'shared' })
        asked.push(cache)
        await router.cache.flush()
      }
      const mine = await Promise.all(routers.map((router, at) => router.invoke('mine', { message: names[at] })))
      const errors = await Promise.all(routers.map((router) => router.invoke('nope', { message: 'Hi' }).catch((error) => error)))
      const are = errors.map((error, at) => [error instanceof copies[names[at]].ThrydError, copies.first.ThrydError.is(error)])
      const foreign = await copies.copy.Cache.open(path)
        .then((cache) => routerOf(copies.first).mountCache(cache)).catch(({ message }) => message)
      for (const router of routers) for await (const _ of router.stream('default', { message: 'in pieces' }));
      print({ asked, mine: mine.map(String), are, foreign, warnings })`
    expect(await printed(source, server.url, files.fresh(), root, files.folder)).toEqual({
      // Those of one addon share the memory before the file too.
      asked: ['miss', 'disk', 'memory', 'memory', 'memory'],
      mine: ['first', 'copy', 'link', 'query', 'again'].map((name) => `heard ${name}`),
      are: Array.from({ length: 5 }, () => [true, true]),
      foreign: 'cache: expected a path, CacheOptions or a Cache, got a Cache of another copy of thryd',
      warnings: [],
    })
  })

  test('anew for every file of tests, as jest does, and nothing that was answered is lost at its end', async () => {
    const path = files.fresh()
    const source = `${load}
      const listeners = process.listenerCount('exit')
      for (let file = 0; file < 15; file += 1) {
        const router = routerOf(reset())
        await router.invoke('default', { message: 'of file ' + file })
        await router.invoke('mine', { message: 'of file ' + file })
      }
      await new Promise(setImmediate)
      print([process.listenerCount('exit') - listeners, warnings])
      process.exit()`
    expect(await printed(source, server.url, path, root)).toEqual([1, []])
    const again = `${load}
      const router = routerOf(require('thryd'), { path, mode: 'replay' })
      const files = Array.from({ length: 15 }, (_, file) => 'of file ' + file)
      const answers = await Promise.all(files.map((message) => router.invoke('default', { message })))
      print(answers.every(({ cache }) => cache === 'disk'))`
    expect(await printed(again, server.url, path, root)).toBe(true)
  })

  test('in realms of their own, as jest does, with one addon for all', async () => {
    const source = `${load}
      import { readFileSync } from 'node:fs'
      import { builtinModules } from 'node:module'
      import { dirname } from 'node:path'
      import { compileFunction, createContext } from 'node:vm'
      const platform = ['AbortController', 'Buffer', 'DOMException', 'Headers', 'ReadableStream', 'Request', 'Response',
        'TextDecoder', 'TextEncoder', 'URL', 'performance', 'process', 'setImmediate', 'setTimeout']
      const inside = () => {
        const context = createContext(Object.fromEntries(platform.map((name) => [name, globalThis[name]])))
        const modules = new Map()
        const load = (file) => {
          if (modules.has(file)) return modules.get(file).exports
          const module = { exports: {} }
          modules.set(file, module)
          const own = createRequire(file)
          const within = (name) => {
            if (name.startsWith('node:') || builtinModules.includes(name)) return require(name)
            const found = own.resolve(name)
            return found.endsWith('.node') ? require(found) : load(found)
          }
          const names = ['exports', 'require', 'module', '__filename', '__dirname']
          const run = compileFunction(readFileSync(file, 'utf8'), names, { filename: file, parsingContext: context })
          run(module.exports, within, module, file, dirname(file))
          return module.exports
        }
        return (name) => load(require.resolve(name))
      }
      const said = []
      for (const file of ['one', 'two', 'three']) {
        const within = inside()
        const thryd = within('thryd')
        const router = routerOf(thryd)
        said.push((await router.invoke('default', { message: 'shared' })).cache, String(await router.invoke('mine', { message: file })))
        let words = ''
        for await (const { delta } of router.stream('default', { message: 'word by word' })) words += delta
        said.push(words)
        const refused = await router.invoke('nope', { message: 'Hi' }).catch((error) => error)
        const wrong = await router.invoke('default', { message: 'Hi', temperature: 9 }).catch((error) => error)
        said.push(refused instanceof thryd.ThrydError, refused instanceof Error, wrong.name)
        const answer = within('thryd/fetch').toFetch({ completion: router })
        const body = JSON.stringify({ model: 'default', messages: [{ role: 'user', content: 'over fetch' }] })
        const headers = { 'content-type': 'application/json' }
        const request = new Request('http://localhost/v1/chat/completions', { method: 'POST', headers, body })
        said.push((await (await answer(request)).json()).choices?.[0].message.content)
        await router.cache.flush()
      }
      print([said, warnings])`
    const each = (from: string, name: string) => [
      from,
      `heard ${name}`,
      'word by word',
      true,
      false,
      'RangeError',
      'over fetch',
    ]
    expect(await printed(source, server.url, files.fresh(), root)).toEqual([
      [...each('miss', 'one'), ...each('memory', 'two'), ...each('memory', 'three')],
      [],
    ])
  })

  test('and be given objects of another realm: options, requests, signals, answers, errors', async () => {
    const source = `${load}
      import { createContext, runInContext } from 'node:vm'
      const thryd = require('thryd')
      const context = createContext({ thryd, baseUrl, path, setTimeout, EventTarget, Event })
      const said = await runInContext(\`(async () => {
        // As older platforms write one: without a reason.
        class Signal extends EventTarget {
          aborted = false
          fire() {
            this.aborted = true
            this.dispatchEvent(new Event('abort'))
          }
        }
        const said = []
        const router = new thryd.CompletionRouter({})
        router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl }).deploy('default', 'local::m', {})
        router.configureGroup('default', {})
        await router.mountCache({ path, encryptionKey: new Uint8Array(32) })
        const ask = async (...call) => {
          try { said.push((await router.invoke(...call)).content) } catch (error) { said.push(error.name) }
        }
        await ask('default', { messages: [{ role: 'user', content: 'request' }], metadata: {} }, {})
        await ask('default', Object.assign(Object.create(null), { message: 'of nothing' }))
        for await (const { content } of router.invokeMany('default', new Set([{ message: 'one' }]), { concurrency: 1 }))
          said.push(content)
        for await (const { delta } of router.stream('default', { message: 'piece' }, {})) said.push(delta)
        router.addProvider({ name: 'mine', async *complete() { yield 'from '; yield { choices: [
          { delta: { content: 'mine' }, finish_reason: 'stop' },
        ] } } }).deploy('mine', 'mine::m')
        await ask('mine', { message: 'Hi' })
        router.addProvider({ name: 'bad', async complete() { throw Object.assign(new TypeError('mine'), { status: 400 }) } })
        await router.deploy('bad', 'bad::m').invoke('bad', { message: 'Hi' }).catch(({ message }) => said.push(message))
        const [early, late] = [new Signal(), new Signal()]
        early.fire()
        await ask('default', { message: 'early' }, { signal: early })
        router.addProvider({ name: 'mute', complete: () => new Promise(() => {}) }).deploy('mute', 'mute::m')
        setTimeout(() => late.fire(), 5)
        await ask('mute', { message: 'late' }, { signal: late })
        const stream = router.stream('default', { message: 'never' }, { signal: early }).completion()
        await stream.catch(({ name }) => said.push(name))
        await ask('default', new Map())
        await router.mountCache(new Map()).catch(({ message }) => said.push(message))
        return said
      })()\`, context)
      const refused = await routerOf(thryd).invoke('nope', { message: 'Hi' }).catch((error) => error)
      context.refused = refused
      print([...said, thryd.ThrydError.is(refused), runInContext('refused.name + " " + refused.code', context)])`
    expect(await printed(source, server.url, files.fresh(), root)).toEqual([
      'request',
      'of nothing',
      'one',
      'piece',
      'from mine',
      'bad::m: 400 mine',
      'AbortError',
      'AbortError',
      'AbortError',
      'TypeError',
      'cache options: expected an object, got "[Map]"',
      true,
      'ThrydError ERR_NO_GROUP',
    ])
  })

  test('under the permission model, if addons are allowed', async () => {
    const { stdout } = await run(
      `import { execFileSync } from 'node:child_process'
       const permission = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission'
       const flags = [permission, '--allow-fs-read=*', '--allow-addons', '--no-warnings']
       const code = "const { CompletionRouter } = require('thryd');" +
         "new CompletionRouter({ providers: [{ type: 'dummy' }] }).deploy('d', 'dummy::echo').invoke('d', { message: 'Hi' }).then(String).then(console.log)"
       console.log(execFileSync(process.execPath, [...flags, '--eval', code], { encoding: 'utf8' }))`,
    )
    expect(stdout.trim()).toBe('Hi')
  })
})
