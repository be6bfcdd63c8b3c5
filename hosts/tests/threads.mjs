// Worker threads.
import { Project } from '../project.mjs'

export default async function run(world, test) {
  const project = await Project.create(world, 'threads')
  const what = 'five worker threads over one cache file, ended in the middle of calls; the main thread works on'
  await world.underNodes(test, project, what, 'threads.mjs', { majors: world.some })
}
