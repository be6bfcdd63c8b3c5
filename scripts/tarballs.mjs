// Looks at the tarballs in pack/, which are what is published: `npm run pack:check [-- --debug] [-- --complete]`, after a build. Which
// files, which fields, which sizes, and of addons for Linux what they want. --debug: addons that were not built to be
// published, of which the latter is not asked; --complete: every platform has to be there.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'

import { BUDGET, inspect } from './binary.mjs'
import { platforms, root, rootManifest } from './platforms.mjs'

/** Bytes that a tarball has at most. */
const PACKED_BUDGET = 5 * 1024 * 1024

/** Of the root package, beside what is compiled. */
const ROOT_FILES = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'index.d.ts', 'fetch.d.ts', 'testing.d.ts']

/** What `scripts/bundle.mjs` makes. */
const MODULES = ['index', 'router', 'fetch/index', 'testing/index', 'diagnosis'].map((name) => `dist/${name}.js`)

/** Fields of package.json that would run something, or bring something else along. */
const FORBIDDEN = [
  'scripts',
  'gypfile',
  'dependencies',
  'devDependencies',
  'peerDependencies',
  'bundleDependencies',
  'napi',
]

/** The files of a tarball, by name. */
function readTarball(bytes) {
  const tar = gunzipSync(bytes)
  const files = new Map()
  const text = (at, length) => tar.toString('utf8', at, at + length).replace(/\0.*$/s, '')
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    const size = Number.parseInt(text(at + 124, 12), 8)
    const name = [text(at + 345, 155), text(at, 100)].filter(Boolean).join('/')
    files.set(name.replace(/^package\//, ''), tar.subarray(at + 512, at + 512 + size))
    at += 512 + Math.ceil(size / 512) * 512
  }
  return files
}

function compare(what, actual, expected) {
  const [left, right] = [actual, expected].map((value) => JSON.stringify(value))
  return left === right ? [] : [`${what} is ${left}, not ${right}`]
}

function checkFiles(files, expected) {
  const strange = [...files.keys()].filter((name) => !expected.includes(name))
  const missing = expected.filter((name) => !files.has(name))
  return [...strange.map((name) => `${name} is no file of it`), ...missing.map((name) => `${name} is missing`)]
}

function checkRoot(files, manifest) {
  const expected = [...ROOT_FILES, ...MODULES, ...MODULES.map((path) => `${path}.map`)]
  const optional = Object.fromEntries(platforms.map(({ name }) => [name, rootManifest.version]))
  return [...checkFiles(files, expected), ...compare('optionalDependencies', manifest.optionalDependencies, optional)]
}

function checkPlatform(platform, files, manifest, isDebug) {
  const { addon, os, cpu, libc } = platform
  const problems = [
    ...checkFiles(files, ['package.json', 'README.md', 'LICENSE', 'index.js', addon]),
    ...compare('os', manifest.os, [os]),
    ...compare('cpu', manifest.cpu, [cpu]),
    ...compare('libc', manifest.libc, libc && [libc]),
    ...compare('main', manifest.main, 'index.js'),
  ]
  const bytes = files.get(addon)
  if (!bytes || isDebug) return problems
  if (os === 'linux') problems.push(...inspect(bytes, platform).problems)
  else if (bytes.length > BUDGET) problems.push(`${addon} has ${bytes.length} bytes, not at most ${BUDGET}`)
  return problems
}

function check({ file, integrity, platform: name }, isDebug) {
  const bytes = readFileSync(join(folder, file))
  const files = readTarball(bytes)
  const manifest = JSON.parse(files.get('package.json'))
  const platform = platforms.find((one) => one.platform === name)
  const problems = [
    ...compare('name', manifest.name, platform?.name ?? rootManifest.name),
    ...compare('version', manifest.version, rootManifest.version),
    ...compare('engines', manifest.engines, rootManifest.engines),
    ...compare('integrity', `sha512-${createHash('sha512').update(bytes).digest('base64')}`, integrity),
    ...FORBIDDEN.filter((field) => field in manifest).map((field) => `package.json has ${field}`),
    ...(platform ? checkPlatform(platform, files, manifest, isDebug) : checkRoot(files, manifest)),
  ]
  if (!isDebug && bytes.length > PACKED_BUDGET)
    problems.push(`it has ${bytes.length} bytes, not at most ${PACKED_BUDGET}`)
  const unpacked = [...files.values()].reduce((sum, content) => sum + content.length, 0)
  return { file, files: files.size, packed: bytes.length, unpacked, problems }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { debug: { type: 'boolean', default: false }, complete: { type: 'boolean', default: false } },
})
const folder = resolve(positionals[0] ?? join(root, 'pack'))
const packed = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'))
const checked = packed.map((one) => check(one, values.debug))
const mebibytes = (bytes) => (bytes / 1024 / 1024).toFixed(2)

console.log('| tarball | files | MiB packed | MiB unpacked |\n|---|---|---|---|')
for (const { file, files, packed: size, unpacked } of checked) {
  console.log(`| ${file} | ${files} | ${mebibytes(size)} | ${mebibytes(unpacked)} |`)
}
const problems = checked.flatMap(({ file, problems: found }) => found.map((problem) => `${file}: ${problem}`))
if (values.complete) {
  const absent = platforms.filter(({ platform }) => !packed.some((one) => one.platform === platform))
  problems.push(...absent.map(({ name }) => `${name} is not there`))
}
if (problems.length > 0) {
  console.error(problems.join('\n'))
  process.exitCode = 1
}
