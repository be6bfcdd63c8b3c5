// Installs the package as its users do, into an empty project, and runs scripts/smoke.mjs there under the Node that runs this:
// `node scripts/empty.mjs <folder of tarballs>` from what was packed, `node scripts/empty.mjs <version>` from npm's registry.
import { execFile } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

import { startRegistry } from '../hosts/registry.mjs'
import { platforms, root } from './platforms.mjs'

const TIMEOUT_MS = 300_000
const run = promisify(execFile)

const [what = 'pack'] = process.argv.slice(2)
const isFolder = existsSync(join(what, 'index.json'))
if (!isFolder && !/^\d+\.\d+\.\d+/.test(what)) {
  console.error(`${what} is neither a folder that scripts/pack.mjs wrote nor a version.`)
  process.exit(1)
}

const folder = mkdtempSync(join(tmpdir(), 'thryd-empty-'))
const registry = isFolder ? await startRegistry(resolve(what), platforms) : undefined
try {
  const options = { cwd: folder, timeout: TIMEOUT_MS }
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  if (registry) writeFileSync(join(folder, '.npmrc'), `${registry.setting}\n`)
  const install = [
    'install',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    registry ? `"${registry.root}"` : `thryd@${what}`,
  ]
  // npm is a script of the shell on Windows.
  await run('npm', install, { ...options, shell: true })
  copyFileSync(join(root, 'scripts/smoke.mjs'), join(folder, 'smoke.mjs'))
  const { stdout } = await run(process.execPath, ['smoke.mjs'], options)
  if (!stdout.includes('works')) throw new Error(`The smoke test ended early: ${stdout}`)
  console.log(stdout.trim())
} finally {
  registry?.close()
  rmSync(folder, { recursive: true, force: true })
}
