// Child processes, and those of a cluster.
import { Project } from '../project.mjs'

export default async function run(world, test) {
  const project = await Project.create(world, 'processes')
  const children = 'three child processes over one cache file, one of them killed while it writes'
  await world.underNodes(test, project, children, 'processes.mjs', { majors: world.some })
  await world.underNodes(test, project, 'a `cluster` of three over one cache file', 'cluster.mjs', {
    says: 'works: 3 of 3',
  })
}
