// The packages that hold the addon, one for each target that package.json names under `napi`: npm/<platform>/. Writes them,
// js/version.ts and js/installed.ts; with --check, fails if they are not what would be written, or if Cargo.toml has another version.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

export const root = join(import.meta.dirname, '..')
export const rootManifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

const cpus = { x86_64: 'x64', aarch64: 'arm64' }
const systems = {
  'unknown-linux-gnu': { os: 'linux', libc: 'glibc', suffix: '-gnu', text: 'Linux with glibc 2.17 or newer' },
  'unknown-linux-musl': { os: 'linux', libc: 'musl', suffix: '-musl', text: 'Linux with musl, such as Alpine' },
  'apple-darwin': { os: 'darwin', suffix: '', text: 'macOS' },
  'pc-windows-msvc': { os: 'win32', suffix: '-msvc', text: 'Windows' },
}

/** Every platform that thryd has an addon for, and the package that holds it. */
export const platforms = rootManifest.napi.targets.map((target) => {
  const [architecture, ...system] = target.split('-')
  const { os, libc, suffix, text } = systems[system.join('-')]
  const cpu = cpus[architecture]
  const platform = `${os}-${cpu}${suffix}`
  const addon = `${rootManifest.napi.binaryName}.${platform}.node`
  const name = `${rootManifest.napi.packageName}-${platform}`
  return { target, platform, addon, name, os, cpu, libc, text }
})

const manifest = ({ name, addon, os, cpu, libc, text }) => ({
  name,
  version: rootManifest.version,
  description: `The native part of thryd for ${text}, ${cpu}.`,
  license: rootManifest.license,
  os: [os],
  cpu: [cpu],
  ...(libc && { libc: [libc] }),
  main: 'index.js',
  files: ['index.js', addon],
  engines: rootManifest.engines,
})

const main = ({ addon }) => `'use strict'

// As requiring the file would, which bundlers read as JavaScript; file tracers know what is joined to the folder.
const { join, toNamespacedPath } = require('node:path')

const file = join(__dirname, '${addon}')
process.dlopen(module, toNamespacedPath(file))
`

const readme = ({ name, text, cpu }) =>
  `# \`${name}\`\n\nThe native part of \`thryd\` for ${text}, ${cpu}. It comes with \`thryd\`; there is no use in installing it alone.\n`

const versionModule = `/** The version of this package, which its native part must have too. Written by scripts/platforms.mjs. */
export const VERSION = '${rootManifest.version}'
`

const requirePackage = ({ platform, name }) => `  '${platform}': () => {
    try {
      return typeof __webpack_require__ === 'function'
        ? __non_webpack_require__('${name}')
        : require('${name}')
    } catch (error) {
      return passOn(error)
    }
  },
`

const installedModule = `/**
 * The packages that hold the addon, each required by its name in full, which is what file tracers read, and within a \`try\`,
 * without which bundlers refuse what is not installed. webpack leaves each to Node, having settled what comes before the question
 * mark, and Next.js traces it in what webpack wrote. Written by scripts/platforms.mjs.
 */

declare const __webpack_require__: unknown
declare const __non_webpack_require__: NodeJS.Require

function passOn(error: unknown): never {
  throw error
}

/** By the name of the platform. */
export const INSTALLED: Record<string, () => unknown> = {
${platforms.map(requirePackage).join('')}}
`

/** What stands in each file. */
const files = new Map([
  ['js/version.ts', versionModule],
  ['js/installed.ts', installedModule],
  ...platforms.flatMap((platform) => [
    [`npm/${platform.platform}/package.json`, `${JSON.stringify(manifest(platform), undefined, 2)}\n`],
    [`npm/${platform.platform}/index.js`, main(platform)],
    [`npm/${platform.platform}/README.md`, readme(platform)],
  ]),
])

function check() {
  const wrong = [...files].filter(([path, text]) => {
    const file = join(root, path)
    return !existsSync(file) || readFileSync(file, 'utf8').replaceAll('\r\n', '\n') !== text
  })
  const strange = readdirSync(join(root, 'npm')).filter((name) => !platforms.some(({ platform }) => platform === name))
  const problems = [
    ...wrong.map(([path]) => `${path} is not what package.json says`),
    ...strange.map((name) => `npm/${name} is no platform`),
  ]
  const [, cargo] = /^version = "(.*)"$/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))
  if (cargo !== rootManifest.version)
    problems.push(`Cargo.toml has version ${cargo}, package.json ${rootManifest.version}`)
  if (problems.length > 0) {
    console.error(`${problems.join('\n')}\nnode scripts/platforms.mjs writes them.`)
    process.exitCode = 1
  }
}

function write() {
  for (const [path, text] of files) {
    const file = join(root, path)
    mkdirSync(join(file, '..'), { recursive: true })
    writeFileSync(file, text)
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  if (process.argv.includes('--check')) check()
  else write()
}
