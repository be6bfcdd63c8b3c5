// Next.js: what is built, started, copied away and started there, and developed with changes while it runs; by both bundlers, with
// thryd left out of the bundle and without a word of it in next.config.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { cpSync, mkdtempSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

import { Project } from '../project.mjs'
import { startProvider } from '../provider.mjs'

const BUILD_TIMEOUT_MS = 300_000
const SERVER_TIMEOUT_MS = 120_000
const CHANGES = 6

export default async function run(world, test) {
  const project = await Project.create(world, 'next')
  const host = { host: 'Next.js', version: project.version('next') }
  for (const bundler of ['turbopack', 'webpack']) {
    for (const EXTERNAL of ['1', '']) {
      const way = `${bundler === 'webpack' ? 'webpack' : 'Turbopack'}, ${EXTERNAL ? '`serverExternalPackages`' : 'nothing in `next.config`'}`
      await test({ ...host, what: `${way}: \`build\`, \`start\`` }, async () => {
        project.remove('.next')
        const output = await next(['build', `--${bundler}`], { timeoutMs: BUILD_TIMEOUT_MS, env: { EXTERNAL } }).ended
        // Its folder is named after thryd.
        const said = output.replaceAll(world.temporary, '')
        assert.doesNotMatch(said, /thryd|module not found|can't resolve|cannot find module/i)
        await asks(({ port, env }) =>
          next(['start', '--port', port], { env: { ...env, EXTERNAL }, timeoutMs: SERVER_TIMEOUT_MS }),
        )
      })
      await test({ ...host, what: `${way}: \`output: 'standalone'\`, moved elsewhere` }, async () => {
        const cwd = mkdtempSync(join(world.temporary, 'standalone-'))
        cpSync(project.path('.next/standalone'), cwd, { recursive: true, verbatimSymlinks: true })
        try {
          await asks(({ port, env }) =>
            project.start(world.node, ['server.js'], {
              cwd,
              env: { ...env, PORT: port, HOSTNAME: '127.0.0.1' },
              timeoutMs: SERVER_TIMEOUT_MS,
            }),
          )
        } catch (error) {
          // With webpack, Next.js takes along what a route's own file requires, and not what a file that routes share does.
          if (!/it is in a bundle, and its native part is not/.test(error.message)) throw error
          return 'does not start, and says what to write into `next.config`'
        }
        return 'works'
      })
      await test({ ...host, what: `${way}: \`dev\`, the module of the router changed ${CHANGES} times` }, async () => {
        project.remove('.next')
        await develops((port, env) =>
          next(['dev', `--${bundler}`, '--port', port], { env: { ...env, EXTERNAL }, timeoutMs: BUILD_TIMEOUT_MS }),
        )
      })
    }
  }

  function next(args, { env, ...options }) {
    return project.start(world.node, [project.bin('next'), ...args], {
      env: { NEXT_TELEMETRY_DISABLED: '1', ...env },
      ...options,
    })
  }

  /** An answer, the same again from the cache, a stream, and a file of the cache that is found by the next process. */
  async function asks(start) {
    const provider = await startProvider(project)
    try {
      await asksOf(provider, start)
    } finally {
      await provider.close()
    }
  }

  async function asksOf(provider, start) {
    const CACHE = join(mkdtempSync(join(world.temporary, 'cache-')), 'cache.redb')
    const env = { BASE_URL: provider.url, CACHE }
    for (const caches of [
      ['miss', 'memory'],
      ['disk', 'memory'],
    ]) {
      const port = await freePort()
      const server = start({ port, env })
      try {
        await server.says(/Ready/)
        for (const cache of caches)
          assert.deepEqual(await ask(port, 'Hello'), { name: 'first', content: 'Hello', cache })
        assert.match(await stream(port), /data: \[DONE\]/)
      } catch (error) {
        error.message += `\n${server.output}`
        throw error
      } finally {
        await server.stop()
      }
    }
    assert.equal(provider.count(), 2)
  }

  async function develops(start) {
    const provider = await startProvider(project)
    try {
      await developsOf(provider, start)
    } finally {
      await provider.close()
    }
  }

  async function developsOf(provider, start) {
    const CACHE = join(mkdtempSync(join(world.temporary, 'cache-')), 'cache.redb')
    const port = await freePort()
    const before = project.read('app/router.js')
    const server = start(port, { BASE_URL: provider.url, CACHE })
    try {
      await server.says(/Ready/)
      assert.equal((await ask(port, 'Hello')).cache, 'miss')
      for (let change = 1; change <= CHANGES; change += 1) {
        const name = `change ${change}`
        const underWay = ask(port, name, 'slow')
        project.write('app/router.js', before.replace("'first'", `'${name}'`))
        const deadline = Date.now() + 30_000
        let answer
        do {
          assert.ok(Date.now() < deadline, `still ${JSON.stringify(answer)}`)
          answer = await ask(port, 'Hello')
        } while (answer.name !== name)
        assert.equal(answer.content, 'Hello')
        assert.notEqual(answer.cache, 'miss')
        assert.equal((await ask(port, name)).cache, 'miss')
        assert.equal((await underWay).content, name)
      }
      // Those that are kept open for the next call, of each router that is still there: two calls were under way at once.
      assert.ok(provider.connections() <= 2 * (CHANGES + 1), `${provider.connections()} sockets are open`)
      assert.equal(provider.count(), 1 + 2 * CHANGES)
    } catch (error) {
      error.message += `\n${server.output}`
      throw error
    } finally {
      await server.stop()
      project.write('app/router.js', before)
    }
    await provider.closed()
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return `${port}`
}

async function ask(port, message, group = 'default') {
  const query = new URLSearchParams({ message, group })
  const response = await fetch(`http://127.0.0.1:${port}/ask?${query}`)
  if (!response.ok) throw new Error(`${response.status}: ${(await response.text()).slice(0, 500)}`)
  return response.json()
}

async function stream(port) {
  const body = JSON.stringify({ model: 'default', stream: true, messages: [{ role: 'user', content: 'one two' }] })
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`http://127.0.0.1:${port}/api/v1/chat/completions`, { method: 'POST', headers, body })
  return response.text()
}
