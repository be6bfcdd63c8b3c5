// Electron, whose program is not in its package: it is fetched from GitHub, which cannot be reached from everywhere.
import { Project, Unavailable } from '../project.mjs'

const FLAGS = ['--no-sandbox', '--disable-gpu', '--ozone-platform=headless']
const DOWNLOAD_TIMEOUT_MS = 180_000

export default async function run(world, test) {
  const project = await Project.create(world, 'electron')
  const host = { host: 'Electron', version: project.version('electron') }
  const fetched = project.run(world.node, [project.bin('electron', 'install-electron')], {
    timeoutMs: DOWNLOAD_TIMEOUT_MS,
  })
  const isFetched = await fetched.then(
    () => true,
    () => false,
  )
  const ask = async (what, args, options) =>
    test({ ...host, what }, async () => {
      if (!isFetched) throw new Unavailable('its program could not be fetched from GitHub')
      const output = await project.run(project.path('node_modules/electron/dist/electron'), args, options)
      if (!output.includes('works')) throw new Error(output)
    })
  await ask('the main process, `require`: everything', [...FLAGS, '.'])
  await ask('as Node (`ELECTRON_RUN_AS_NODE`), `import`: everything', ['asks.mjs'], {
    env: { ELECTRON_RUN_AS_NODE: '1' },
  })
}
