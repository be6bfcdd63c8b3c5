// What makes one file of many: with thryd outside, with the addon alone outside, and with everything that can be inside.
import { copyFileSync, mkdtempSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import { Project } from '../project.mjs'

export default async function run(world, test) {
  const project = await Project.create(world, world.quick ? 'esbuild' : 'bundlers')

  const esbuild = (out, ...args) => {
    const flags = [
      '--bundle',
      '--platform=node',
      '--log-level=warning',
      '--external:./claims.cjs',
      `--outfile=${out}`,
      ...args,
    ]
    // A script of Node's, or the program itself.
    return project.run(project.bin('esbuild'), ['asks.mjs', ...flags])
  }
  const host = { host: 'esbuild', version: project.version('esbuild') }
  for (const format of ['esm', 'cjs']) {
    const out = (name) => `${name}.${format === 'esm' ? 'mjs' : 'cjs'}`
    await test({ ...host, what: `\`${format}\`, \`--external:thryd\`: everything` }, async () => {
      await esbuild(out('outside'), `--format=${format}`, '--external:thryd')
      await project.works(out('outside'))
    })
  }
  await test({ ...host, what: '`cjs`, `--external:@thryd/*`: everything' }, async () => {
    await esbuild('inside.cjs', '--format=cjs', '--external:@thryd/*')
    await project.works('inside.cjs')
  })
  await test(
    { ...host, what: '`cjs`, nothing outside: everything, where `node_modules` is in the working directory' },
    async () => {
      await esbuild('whole.cjs', '--format=cjs')
      await project.works('whole.cjs')
    },
  )
  await test(
    { ...host, what: '`cjs`, nothing outside, without `node_modules`, the `.node` file copied beside it: everything' },
    async () => {
      await esbuild('whole.cjs', '--format=cjs')
      const folder = mkdtempSync(join(world.temporary, 'copied-'))
      for (const file of ['whole.cjs', 'claims.cjs']) copyFileSync(project.path(file), join(folder, file))
      const [binding] = readdirSync(project.path('node_modules/@thryd'))
      const addon = readdirSync(project.path('node_modules/@thryd', binding)).find((file) => file.endsWith('.node'))
      copyFileSync(project.path('node_modules/@thryd', binding, addon), join(folder, addon))
      await project.works('whole.cjs', { cwd: folder })
    },
  )
  await test({ ...host, what: '`cjs`, nothing outside, started elsewhere: everything' }, async () => {
    await esbuild('whole.cjs', '--format=cjs')
    await project.works(project.path('whole.cjs'), { cwd: mkdtempSync(join(world.temporary, 'elsewhere-')) })
  })
  await test(
    {
      ...host,
      what: '`cjs`, nothing outside, no addon there, but one where it is started: left alone, says what to do',
    },
    async () => {
      await esbuild('whole.cjs', '--format=cjs')
      const program = mkdtempSync(join(world.temporary, 'program-'))
      for (const file of ['whole.cjs', 'claims.cjs']) copyFileSync(project.path(file), join(program, file))
      const options = { cwd: project.path('.') }
      const error = await project.run(world.node, [join(program, 'whole.cjs')], options).catch((cause) => cause)
      if (!/ERR_NATIVE/.test(error.message) || !/A bundler must leave thryd outside/.test(error.message)) throw error
    },
  )
  if (!world.quick) await others(world, test, project)
}

async function others(world, test, project) {
  const rollup = { host: 'Rollup', version: project.version('rollup') }
  const runs = async (bin, args, out) => {
    await project.run(world.node, [bin, ...args])
    await project.works(out)
  }
  await test({ ...rollup, what: '`external: /^thryd/`: everything' }, () =>
    runs(project.bin('rollup'), ['--config', 'rollup.outside.mjs'], 'out/rollup-outside.mjs'),
  )
  await test({ ...rollup, what: 'with its plugins for CommonJS and resolving, nothing outside: everything' }, () =>
    runs(project.bin('rollup'), ['--config', 'rollup.whole.mjs'], 'out/rollup-whole.mjs'),
  )
  const vite = { host: 'Vite', version: project.version('vite') }
  await test({ ...vite, what: '`build --ssr`, as it is: everything' }, () =>
    runs(
      project.bin('vite'),
      ['build', '--ssr', 'asks.mjs', '--outDir', 'out/vite', '--logLevel', 'warn'],
      'out/vite/asks.mjs',
    ),
  )
  await test({ ...vite, what: '`build --ssr`, `ssr.noExternal: true`: everything' }, () =>
    runs(project.bin('vite'), ['build', '--config', 'vite.whole.mjs', '--logLevel', 'warn'], 'out/vite-whole/asks.mjs'),
  )
  const webpack = { host: 'webpack', version: project.version('webpack') }
  await test({ ...webpack, what: '`target: node`, `externals`: everything' }, () =>
    runs('webpack.mjs', ['outside'], 'out/webpack-outside.cjs'),
  )
  await test({ ...webpack, what: '`target: node`, nothing outside, without a warning: everything' }, () =>
    runs('webpack.mjs', ['whole'], 'out/webpack-whole.cjs'),
  )
}
