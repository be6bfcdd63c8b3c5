// Builds the addon as it is published: `npm run build` for this machine, into the repository's root;
// `npm run build:linux` for every Linux, into binaries/; or `node scripts/build.mjs --target <triple>... [--out <folder>]`.
//
// One kind of library is asked for by name, where Cargo.toml names two: a crate that is also an rlib is not optimised as a whole.
// Linux is linked by zig, against the glibc of 2.17 and against musl, on whatever Linux this runs.
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

import { platforms, root } from './platforms.mjs'

/** The oldest glibc that the addon loads on. */
const GLIBC = '2.17'

const targetFolder = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target')

const { values } = parseArgs({
  options: {
    target: { type: 'string', multiple: true, default: [] },
    linux: { type: 'boolean' },
    out: { type: 'string', default: join(root, 'binaries') },
  },
})

function fail(message) {
  console.error(message)
  process.exit(1)
}

function run(command, args, env) {
  console.log(`${command} ${args.join(' ')}`)
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  if (error) fail(`${command}: ${error.message}`)
  if (status !== 0) process.exit(status ?? 1)
}

const library = ({ os }) => {
  if (os === 'win32') return 'thryd.dll'
  return os === 'darwin' ? 'libthryd.dylib' : 'libthryd.so'
}

const cargoArgs = ['rustc', '--release', '--locked', '--lib', '--crate-type', 'cdylib']

/** How the C library is linked, where that is not as it has to be by itself. */
function environment({ os, libc }) {
  // A library cannot have a musl of its own.
  const feature = libc === 'musl' ? '-crt-static' : '+crt-static'
  // Not every Windows has the C library of Visual Studio, and Node brings none along.
  if (libc !== 'musl' && os !== 'win32') return {}
  return { RUSTFLAGS: `${process.env.RUSTFLAGS ?? ''} -C target-feature=${feature}`.trim() }
}

/** Builds for a target, by zig if that is a Linux; where the library is. */
function build(platform) {
  const { target, os, libc } = platform
  const env = environment(platform)
  if (os === 'linux')
    run('cargo-zigbuild', [...cargoArgs, '--target', libc === 'glibc' ? `${target}.${GLIBC}` : target], env)
  else run('cargo', [...cargoArgs, '--target', target], env)
  return join(targetFolder, target, 'release', library(platform))
}

/** Builds for this machine, by its own linker. */
function buildHere() {
  const [, host] = /^host: (.*)$/m.exec(execFileSync('rustc', ['-vV'], { encoding: 'utf8' }))
  const platform = platforms.find(({ target }) => target === host)
  if (!platform) fail(`No package is published for ${host}; package.json names the targets (napi.targets).`)
  run('cargo', cargoArgs, environment(platform))
  copyFileSync(join(targetFolder, 'release', library(platform)), join(root, platform.addon))
}

const has = (command, args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0

/** What linking for other systems needs. */
function demandTools(targets) {
  const missing = []
  if (!has('cargo-zigbuild', ['--version'])) {
    missing.push('cargo-zigbuild: cargo install --locked cargo-zigbuild, or pip install cargo-zigbuild')
  }
  if (!has('zig', ['version']) && !has('python3', ['-m', 'ziglang', 'version']))
    missing.push('zig: pip install ziglang')
  const installed = execFileSync('rustup', ['target', 'list', '--installed'], { encoding: 'utf8' }).split(/\s+/)
  const absent = targets.filter((target) => !installed.includes(target))
  if (absent.length > 0) missing.push(`Rust's standard library: rustup target add ${absent.join(' ')}`)
  if (missing.length > 0) fail(`Not there yet:\n  ${missing.join('\n  ')}`)
}

const wanted = values.linux
  ? platforms.filter(({ os }) => os === 'linux')
  : values.target.map(
      (target) =>
        platforms.find((one) => one.target === target) ?? fail(`${target} is none of napi.targets in package.json`),
    )

if (wanted.length === 0) {
  buildHere()
} else {
  const linux = wanted.filter(({ os }) => os === 'linux').map(({ target }) => target)
  if (linux.length > 0) demandTools(linux)
  const out = resolve(values.out)
  mkdirSync(out, { recursive: true })
  for (const platform of wanted) copyFileSync(build(platform), join(out, platform.addon))
}
