// TypeScript, by both of its compilers and each way of resolving modules that can find subpaths: what they write runs.
import { Project } from '../project.mjs'

/** The options, and the files that can be read so. */
const WAYS = {
  nodenext: { module: 'nodenext', files: ['asks.mts', 'asks.cts'] },
  node16: { module: 'node16', files: ['asks.mts', 'asks.cts'] },
  bundler: { module: 'esnext', moduleResolution: 'bundler', files: ['asks.mts'] },
}

export default async function run(world, test) {
  const project = await Project.create(world, 'typescript')
  for (const compiler of ['typescript-5', 'typescript']) {
    const version = project.version(compiler)
    for (const [way, { files, ...options }] of Object.entries(WAYS)) {
      const what = `strict, \`${way}\`, declarations checked: ${files.length > 1 ? '`.mts` and `.cts` compile' : '`.mts` compiles'}, and everything`
      await test({ host: `TypeScript ${version.split('.')[0]}`, version, what }, async () => {
        const out = `out-${compiler}-${way}`
        const compilerOptions = {
          ...options,
          target: 'es2022',
          lib: ['es2023', 'esnext.disposable'],
          types: ['node'],
          strict: true,
          exactOptionalPropertyTypes: true,
          noUncheckedIndexedAccess: true,
          // The typings of the package are to be right for themselves.
          skipLibCheck: false,
          allowJs: true,
          outDir: out,
        }
        project.write('tsconfig.json', JSON.stringify({ compilerOptions, files: [...files, 'claims.d.cts'] }))
        await project.run(world.node, [project.bin(compiler, 'tsc')])
        project.write(`${out}/claims.cjs`, project.read('claims.cjs'))
        for (const file of files) await project.works(`${out}/${file.replace(/ts$/, 'js')}`)
      })
    }
  }
}
