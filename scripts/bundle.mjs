// Makes of js/ what users load: a file for each way in, and one for what they share. To load twenty files takes longer than to load
// the addon. What is only read when that fails stays by itself.
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { rolldown } from 'rolldown'

import { root } from './platforms.mjs'

const dist = join(root, 'dist')

async function bundle(input) {
  const build = await rolldown({
    cwd: root,
    input,
    platform: 'node',
    external: [/^@thryd\/binding-/, './diagnosis'],
    onLog(_level, { message }) {
      throw new Error(message)
    },
  })
  await build.write({
    dir: dist,
    format: 'cjs',
    strict: true,
    comments: false,
    sourcemap: true,
    chunkFileNames: '[name].js',
  })
}

// Nothing of an earlier build is packed.
for (const name of readdirSync(dist, { recursive: true })) {
  if (/\.js(\.map)?$/.test(name)) rmSync(join(dist, name))
}
await bundle({ index: 'js/index.ts', 'fetch/index': 'js/fetch/index.ts', 'testing/index': 'js/testing/index.ts' })
await bundle({ diagnosis: 'js/diagnosis.ts' })
