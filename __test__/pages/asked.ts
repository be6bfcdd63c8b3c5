/** What is done with the files of the pages, and why some are left alone. */

/** Files that are run by asking them something, in the folder of their page. Says nothing if all is well. */
export const ASKED: Record<string, { files: string[]; program: string }> = {
  'docs/nextjs.md': {
    files: ['lib/llm.ts', 'app/api/v1/[...path]/route.ts', 'app/api/story/route.ts'],
    program: `
      import { registerHooks } from 'node:module'
      // As the bundler of Next.js does.
      const here = 'file://' + process.cwd() + '/'
      const resolve = (name, context, next) => next(name.startsWith('@/') ? here + name.slice(2) + '.ts' : name, context)
      registerHooks({ resolve })
      const headers = { 'content-type': 'application/json' }
      const post = (body) => new Request('http://localhost/api/v1/chat/completions', { method: 'POST', headers, body: JSON.stringify(body) })
      const api = await import('./app/api/v1/[...path]/route.ts')
      const answer = await api.POST(post({ model: 'default', messages: [{ role: 'user', content: 'two words' }] }))
      const text = await answer.text()
      if (!text.includes('"two words"')) throw new Error(text)
      if ((await api.GET(new Request('http://localhost/api/v1/models'))).status !== 200) throw new Error('no models')
      const story = await import('./app/api/story/route.ts')
      const told = await (await story.POST(post({ topic: 'tea' }))).text()
      if (told !== 'Tell me a story about tea.') throw new Error(told)
    `,
  },
  'docs/serverless.md': {
    files: ['handler.mjs'],
    program: `
      import { handler } from './handler.mjs'
      for (const cache of ['miss', 'memory']) {
        const { body } = await handler({ body: JSON.stringify({ message: 'two words' }) })
        if (body !== JSON.stringify({ text: 'two words', cache })) throw new Error(body)
      }
    `,
  },
  'docs/docker.md': {
    files: ['server.mjs'],
    program: `
      import { Server } from 'node:net'
      // A port that is free, and which one that is.
      process.env.PORT = '0'
      const { listen } = Server.prototype
      const listening = new Promise((resolve) => {
        Server.prototype.listen = function (...given) {
          return listen.apply(this, given).once('listening', () => resolve(this.address().port))
        }
      })
      await import('./server.mjs')
      const answer = await fetch('http://127.0.0.1:' + await listening + '/two%20words')
      if ((await answer.text()) !== 'two words') throw new Error('no answer')
      process.kill(process.pid, 'SIGTERM')
    `,
  },
}

/** Files that Vitest runs, by page: recorded once, then replayed. */
export const TESTED: Record<string, string[]> = { 'docs/vitest.md': ['test/recorded.ts', 'test/city.test.ts'] }

/** Files that are compiled or looked at, and not run. */
export const NOT_RUN: Record<string, string> = {
  'docs/docker.md Dockerfile': 'no test starts Docker; its instructions and commands are looked at',
  'docs/docker.md alpine.Dockerfile': 'the same',
  'docs/nextjs.md next.config.mjs': 'examples/next has it, and `npm run next` builds that and asks it in a browser',
}

/** Pages whose packages are not installed here: compiled and run where they are. */
export const ELSEWHERE: Record<string, string> = { 'docs/clients.md': 'clients/pages.test.ts, with the SDKs' }
