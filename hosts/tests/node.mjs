// Node, in every version that it is for: each way of loading, and what thryd is to do then.
import { Project } from '../project.mjs'

export default async function run(world, test) {
  const project = await Project.create(world, 'node')
  await world.underNodes(test, project, '`require`: everything', 'asks.cjs')
  await world.underNodes(test, project, '`import` of names: everything', 'asks.mjs')
  // Types are taken out by Node itself since 22.6, and unasked since 22.18.
  const what = 'TypeScript that Node reads itself: everything'
  if (!world.quick) await world.underNodes(test, project, what, 'asks.mts', { majors: [22, 24, 26] })
}
