// Jest, whose every file has a module registry and globals of its own.
import { Project } from '../project.mjs'

export default async function run(world, test) {
  const project = await Project.create(world, 'jest')
  const version = project.version('jest')
  const ways = {
    'two files in one process': ['--runInBand'],
    'two files in processes of their own': ['--maxWorkers=2'],
  }
  for (const [way, args] of Object.entries(ways)) {
    await test({ host: 'Jest', version, what: `${way}, the module registry reset ten times` }, async () => {
      project.remove('cache.redb')
      const output = await project.run(world.node, [project.bin('jest'), ...args])
      if (!/Tests: +6 passed/.test(output) || /did not exit|failed to exit|MaxListeners/i.test(output))
        throw new Error(output)
    })
  }
}
