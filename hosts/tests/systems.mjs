// Linuxes that are older or of another kind than the one here: the addon of each, in a root of its own.
import { cpSync, copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { platforms, root as repository } from '../../scripts/platforms.mjs'
import { Project, Unavailable } from '../project.mjs'
import { SYSTEMS, commandIn, makeRoot } from '../roots.mjs'

const TIMEOUT_MS = 180_000

/** What the package says where its addon is that of the other libc. */
const REFUSED = `
try {
  require('thryd')
} catch ({ code, message }) {
  if (code === 'ERR_NATIVE' && /is for \\w+, and this system has \\w+/.test(message)) console.log('works')
  else console.log(code, message)
}
`

/** A project with what npm installs on that system. */
async function install({ temporary, registry }, { cpu, libc }) {
  const folder = mkdtempSync(join(temporary, 'system-'))
  const project = new Project(folder)
  project.write('package.json', '{ "private": true }')
  project.write('.npmrc', `${registry.setting}\n`)
  const system = ['--os=linux', `--cpu=${cpu}`, `--libc=${libc}`]
  await project.run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', ...system, registry.root])
  copyFileSync(join(repository, 'scripts/smoke.mjs'), project.path('smoke.mjs'))
  project.write('refused.cjs', REFUSED)
  return project
}

const platformOf = (cpu, libc) => platforms.find((one) => one.os === 'linux' && one.cpu === cpu && one.libc === libc)
const addonIn = (app, { name, addon }) => join(app, 'node_modules', name, addon)

async function runIn(root, { cpu }, project, script) {
  const output = await project.run(...commandIn(root, cpu, script), { timeoutMs: TIMEOUT_MS })
  if (!output.includes('works')) throw new Error(output)
}

/** Puts a project into the root. */
async function enter(world, system) {
  const platform = platformOf(system.cpu, system.libc)
  const project = await install(world, system)
  if (!existsSync(addonIn(project.folder, platform)))
    throw new Unavailable(`${platform.addon} was not packed (npm run build:linux)`)
  const root = await makeRoot(system)
  const app = join(root, 'app')
  rmSync(app, { recursive: true, force: true })
  cpSync(project.folder, app, { recursive: true })
  return { project, root, app, platform }
}

export default async function run(world, test) {
  for (const system of SYSTEMS) {
    const host = `${system.name}, ${system.cpu}${system.cpu === 'arm64' ? ' (qemu)' : ''}`
    const version = `Node ${system.node}`
    let entered
    await test({ host, version, what: 'answers, streams, a file, a server, tokens' }, async () => {
      entered = await enter(world, system)
      await runIn(entered.root, system, entered.project, 'smoke.mjs')
    })
    await test({ host, version, what: 'the addon of the other libc: refused, and why' }, async () => {
      if (!entered) throw new Unavailable('there is no root')
      const other = platformOf(system.cpu, system.libc === 'musl' ? 'glibc' : 'musl')
      const stranger = await install(world, { ...system, libc: other.libc })
      const addon = addonIn(stranger.folder, other)
      if (!existsSync(addon)) throw new Unavailable(`${other.addon} was not packed`)
      copyFileSync(addon, addonIn(entered.app, entered.platform))
      await runIn(entered.root, system, entered.project, 'refused.cjs')
    })
  }
}
