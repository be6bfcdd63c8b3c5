// Vitest, in both of its pools.
import { Project } from '../project.mjs'

export default async function run(world, test) {
  const project = await Project.create(world, 'vitest')
  const version = project.version('vitest')
  for (const pool of ['forks', 'threads']) {
    await test(
      { host: 'Vitest', version, what: `pool \`${pool}\`: three files at once over one cache file` },
      async () => {
        project.remove('cache.redb')
        const first = await ask(pool)
        // What two files want to know at one time both may ask; 30 questions are those of one file, 40 those of all.
        if (!(first >= 70 && first <= 150)) throw new Error(`the provider was asked ${first} times`)
        const second = await ask(pool)
        if (second !== 0) throw new Error(`the provider was asked ${second} times for what was in the file`)
      },
    )
  }

  async function ask(pool) {
    const output = await project.run(world.node, [project.bin('vitest'), 'run'], { env: { POOL: pool } })
    const [, asked] = /^asked: (\d+)$/m.exec(output) ?? []
    if (!/Tests +9 passed/.test(output) || /close timed out|hanging/i.test(output)) throw new Error(output)
    return Number(asked)
  }
}
