// Deno, with the package in node_modules, and every permission: an addon asks for none.
import { chmodSync, existsSync } from 'node:fs'

import { Project, Unavailable } from '../project.mjs'

export default async function run(world, test) {
  const project = await Project.create(world, 'deno')
  const node = project.path(`node_modules/@deno/${process.platform}-${process.arch}-glibc/deno`)
  if (!existsSync(node)) throw new Unavailable('there is no package of it for this system')
  chmodSync(node, 0o755)
  const version = project.version('deno')
  const options = { node, args: ['run', '--allow-all'] }
  const under = (what, script) =>
    test({ host: 'Deno', version, what }, () => project.works(script, options).then(() => 'works'))
  await under('`require`: everything', 'asks.cjs')
  await under('`import` of names: everything', 'asks.mjs')
  await under('TypeScript as it is: everything', 'asks.mts')
  const threads = 'five worker threads over one cache file, ended in the middle of calls; the main thread works on'
  await test({ host: 'Deno', version, what: threads }, async () => {
    try {
      await project.works('threads.mjs', options)
      return 'works'
    } catch (error) {
      if (!/was waited for/.test(error.message)) throw error
      await project.works('threads.mjs', { ...options, env: { UNTOLD: '1' } })
      return 'works, but calls of a worker that is ended go on until they are answered or their time is up'
    }
  })
  await under('three child processes over one cache file, one of them killed while it writes', 'processes.mjs')
  await under('a `cluster` of three over one cache file', 'cluster.mjs')
}
