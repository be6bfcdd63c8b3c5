// Node, in every version that it is for: each way of loading, and what thryd is to do then.
import { Project, Unavailable } from '../project.mjs'

export default async function run(world, test) {
  const project = await Project.create(world, 'node')
  for (const major of [20, 22, 24, 26]) {
    const node = world.findNode(major)
    const under = (what, script, args = []) =>
      test({ host: `Node ${major}`, version: node?.version, what }, async () => {
        if (!node) throw new Unavailable('it is not installed (npm ci --prefix hosts)')
        await project.works(script, { node: node.path, args })
      })
    await under('`require`: everything', 'asks.cjs')
    await under('`import` of names: everything', 'asks.mjs')
    // Types are taken out by Node itself since 22.6, and unasked since 22.18.
    if (major >= 22 && !world.quick) await under('TypeScript that Node reads itself: everything', 'asks.mts')
  }
}
