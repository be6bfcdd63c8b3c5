// What installs packages, beside npm: each is to choose the one package of this platform, where thryd finds it.
import { cpSync, existsSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'

import { Project, Unavailable } from '../project.mjs'

const INSTALL_TIMEOUT_MS = 180_000

export default async function run(world, test) {
  const tools = await Project.create(world, 'installers')
  const { root, setting } = world.registry
  const options = { timeoutMs: INSTALL_TIMEOUT_MS }
  const yarn = tools.bin('@yarnpkg/cli-dist', 'yarn')

  const create = () => {
    const project = new Project(mkdtempSync(join(world.temporary, 'installed-')))
    project.node = world.node
    cpSync(tools.path(), project.folder, {
      recursive: true,
      filter: (path) => !/node_modules|package|npmrc/.test(path),
    })
    project.write('package.json', '{ "private": true }')
    project.write('.npmrc', `${setting}\n`)
    return project
  }
  const yarned = async (linker) => {
    const project = create()
    const [, server] = /=(.*)\/$/.exec(setting)
    const lines = [
      `npmScopes: { thryd: { npmRegistryServer: "${server}" } }`,
      'unsafeHttpWhitelist: ["127.0.0.1"]',
      // What is new is left alone otherwise.
      'npmPreapprovedPackages: ["@thryd/*"]',
      'globalFolder: .yarn-global',
      'enableTelemetry: false',
      `nodeLinker: ${linker}`,
      'pnpEnableEsmLoader: true',
    ]
    project.write('.yarnrc.yml', `${lines.join('\n')}\n`)
    await project.run(world.node, [yarn, 'add', `thryd@file:${root}`], options)
    return project
  }

  const what = '`require`, `import`: everything'
  await test({ host: 'pnpm', version: tools.version('pnpm'), what }, async () => {
    const project = create()
    await project.run(tools.bin('pnpm'), ['add', '--store-dir', '.store', root], options)
    await project.works('asks.cjs')
    await project.works('asks.mjs')
  })
  const version = tools.version('@yarnpkg/cli-dist')
  await test({ host: 'Yarn, `nodeLinker: node-modules`', version, what }, async () => {
    const project = await yarned('node-modules')
    await project.works('asks.cjs')
    await project.works('asks.mjs')
  })
  await test({ host: 'Yarn, Plug’n’Play', version, what }, async () => {
    const project = await yarned('pnp')
    for (const script of ['asks.cjs', 'asks.mjs']) await project.works(script, { args: [yarn, 'node'] })
  })
  await test({ host: '`bun install`', version: tools.version('bun'), what }, async () => {
    const bun = tools.path('node_modules/bun/bin/bun.exe')
    if (!existsSync(bun)) throw new Unavailable('its program is not in its package here')
    const project = create()
    await project.run(bun, ['add', root], options)
    await project.works('asks.cjs')
    await project.works('asks.mjs')
  })
}
