// Publishes the tarballs in a folder as they are: `node scripts/publish.mjs <folder> [--dry-run]`. The platforms first and the root last, so that
// who gets the root gets the rest. All of them or none: a set that lacks a platform, or a tarball that is not the one that was
// packed, is refused before anything is published. What is on the registry already, the same, is passed over, so
// that a publishing which broke off goes on.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

import { platforms, rootManifest } from './platforms.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'dry-run': { type: 'boolean', default: false } },
})
const folder = resolve(positionals[0] ?? 'pack')
const packed = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'))
// npm is a script of the shell on Windows.
const npm = (args, options) =>
  execFileSync('npm', args, { encoding: 'utf8', shell: process.platform === 'win32', ...options })

/** Why these tarballs cannot be published. */
function findProblems() {
  const expected = [...platforms.map(({ name }) => name), rootManifest.name]
  const missing = expected.filter((name) => !packed.some((one) => one.name === name))
  const others = packed.filter(({ version }) => version !== rootManifest.version)
  const changed = packed.filter(({ file, integrity }) => {
    const hash = createHash('sha512')
      .update(readFileSync(join(folder, file)))
      .digest('base64')
    return `sha512-${hash}` !== integrity
  })
  return [
    ...missing.map((name) => `${name} is missing`),
    ...others.map(({ file }) => `${file} is not of version ${rootManifest.version}`),
    ...changed.map(({ file }) => `${file} is not what was packed`),
  ]
}

/** What the registry has of this version: nothing, or its hash. */
function published({ name, version }) {
  try {
    return npm(['view', `${name}@${version}`, 'dist.integrity'], { stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return ''
  }
}

function publish(one) {
  const { name, version, file, integrity } = one
  if (!values['dry-run']) {
    const there = published(one)
    if (there === integrity) {
      console.log(`${name}@${version} is published already`)
      return
    }
    if (there) throw new Error(`${name}@${version} is published already, and is not ${file}`)
    // A version with a name (1.0.0-beta.1) is for those who ask for it.
    const tag = version.includes('-') ? 'next' : 'latest'
    // Only who builds for everyone to see can prove where it came from.
    const provenance = process.env.GITHUB_ACTIONS ? ['--provenance'] : []
    npm(['publish', join(folder, file), '--access', 'public', '--tag', tag, ...provenance], { stdio: 'inherit' })
  }
  console.log(`${name}@${version}`)
}

const isRoot = ({ platform }) => platform === null

const problems = findProblems()
if (problems.length > 0) {
  console.error(`Nothing is published:\n  ${problems.join('\n  ')}`)
  process.exitCode = 1
} else {
  for (const one of [...packed.filter((each) => !isRoot(each)), ...packed.filter(isRoot)]) publish(one)
}
