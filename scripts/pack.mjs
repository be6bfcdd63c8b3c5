// Packs what is published: `npm run pack [-- <folder of addons>] [--out <folder>] [--tight]`, after a build. The root package, and the
// package of each platform whose addon is in the folder (the repository's root, unless told). `index.json` beside them says what they
// are. --tight compresses better than npm does, which takes a second more each.
//
// The root's package.json is not quite that of the checkout: what serves development goes, and the packages of the platforms come
// in here as optional dependencies, because `npm install` in a checkout must not ask the registry for what is not published yet.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

import { platforms, root, rootManifest } from './platforms.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: 'string', default: join(root, 'pack') }, tight: { type: 'boolean', default: false } },
})
const addons = resolve(positionals[0] ?? root)
const out = resolve(values.out)

/** `npm pack` of a folder: what it says of the tarball. */
function npmPack(folder, ...args) {
  const command = ['pack', '--json', '--ignore-scripts', '--loglevel=error', ...args]
  // npm is a script of the shell on Windows.
  const text = execFileSync('npm', command, { cwd: folder, encoding: 'utf8', shell: process.platform === 'win32' })
  return Object.values(JSON.parse(text))[0]
}

const TIGHTEN = `
import sys, zlib, deflate
tar = zlib.decompress(sys.stdin.buffer.read(), 31)
sys.stdout.buffer.write(deflate.gzip_compress(tar, 12))
`

/** Compresses a tarball anew, by libdeflate: a twenty-fifth less than by Node's zlib. */
function tighten(file) {
  const path = join(out, file)
  const { status, stdout } = spawnSync('python3', ['-c', TIGHTEN], { input: readFileSync(path), maxBuffer: 2 ** 30 })
  if (status === 0) writeFileSync(path, stdout)
  else console.warn(`${file} is larger than what is published: there is no libdeflate (pip install deflate).`)
}

/** Where it is built by a workflow: npm compares that with the provenance. */
function repository() {
  const { GITHUB_SERVER_URL, GITHUB_REPOSITORY } = process.env
  if (!GITHUB_SERVER_URL || !GITHUB_REPOSITORY) return {}
  return { repository: { type: 'git', url: `git+${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}.git` } }
}

function stage(staging, name, files, manifest) {
  const folder = join(staging, name)
  for (const [from, to] of files) {
    mkdirSync(dirname(join(folder, to)), { recursive: true })
    copyFileSync(from, join(folder, to))
  }
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify({ ...manifest, ...repository() }, undefined, 2)}\n`)
  return folder
}

/** What of package.json only serves those who work on it. */
const development = new Set(['devDependencies', 'scripts', 'allowScripts', 'napi'])

function publishedManifest() {
  const rest = Object.entries(rootManifest).filter(([field]) => !development.has(field))
  const optionalDependencies = Object.fromEntries(platforms.map(({ name }) => [name, rootManifest.version]))
  return { ...Object.fromEntries(rest), optionalDependencies }
}

function pack(staging) {
  const listed = npmPack(root, '--dry-run').files.map(({ path }) => [join(root, path), path])
  const folders = [[stage(staging, 'root', listed, publishedManifest()), null]]
  for (const { platform, addon } of platforms) {
    if (!existsSync(join(addons, addon))) continue
    const own = join(root, 'npm', platform)
    const files = [
      ...['README.md', 'index.js'].map((path) => [join(own, path), path]),
      [join(root, 'LICENSE'), 'LICENSE'],
      [join(addons, addon), addon],
    ]
    const manifest = JSON.parse(readFileSync(join(own, 'package.json'), 'utf8'))
    folders.push([stage(staging, platform, files, manifest), platform])
  }
  return folders.map(([folder, platform]) => {
    const { name, version, filename: file, unpackedSize, files } = npmPack(folder, '--pack-destination', out)
    if (values.tight) tighten(file)
    const bytes = readFileSync(join(out, file))
    const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`
    return {
      name,
      version,
      platform,
      file,
      size: bytes.length,
      unpackedSize,
      integrity,
      files: files.map(({ path }) => path),
    }
  })
}

rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
const staging = mkdtempSync(join(tmpdir(), 'thryd-pack-'))
try {
  const packed = pack(staging)
  writeFileSync(join(out, 'index.json'), `${JSON.stringify(packed, undefined, 2)}\n`)
  for (const { file, size, unpackedSize } of packed) {
    console.log(`${file}: ${(size / 1024).toFixed(0)} KiB packed, ${(unpackedSize / 1024).toFixed(0)} KiB unpacked`)
  }
  const missing = platforms.filter(({ platform }) => !packed.some((one) => one.platform === platform))
  if (missing.length > 0)
    console.log(`No addon in ${addons} for ${missing.map(({ platform }) => platform).join(', ')}.`)
} finally {
  rmSync(staging, { recursive: true, force: true })
}
