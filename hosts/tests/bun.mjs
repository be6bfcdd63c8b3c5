// Bun, which has an implementation of Node's addons of its own.
import { existsSync } from 'node:fs'

import { Project, Unavailable } from '../project.mjs'

export default async function run(world, test) {
  const project = await Project.create(world, 'bun')
  const node = project.path('node_modules/bun/bin/bun.exe')
  if (!existsSync(node)) throw new Unavailable('its program is not in its package here')
  const version = project.version('bun')
  const under = (what, script) =>
    test({ host: 'Bun', version, what }, () => project.works(script, { node }).then(() => 'works'))
  await under('`require`: everything', 'asks.cjs')
  await under('`import` of names: everything', 'asks.mjs')
  await under('TypeScript as it is: everything', 'asks.mts')
  await under(
    'five worker threads over one cache file, ended in the middle of calls; the main thread works on',
    'threads.mjs',
  )
  await under('three child processes over one cache file, one of them killed while it writes', 'processes.mjs')
  await test({ host: 'Bun', version, what: 'a `cluster` of three over one cache file' }, async () => {
    const output = await project.works('cluster.mjs', { node, env: { HELD: '1' } })
    const [, answered] = /works: (\d) of 3/.exec(output)
    return answered === '3'
      ? 'works'
      : 'works, but Bun gives all connections to one of them, and does not end them, also without thryd'
  })
}
