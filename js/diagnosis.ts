/**
 * Why the addon does not load, in words that say what to do. Only read when it does not. The loader's own errors tell what was
 * tried; what is wrong is seen from the files that are there and from the system, which say more than the linker does.
 */

import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve as resolvePath, sep } from 'node:path'

import { ThrydError } from './errors'
import { readExecutable } from './executable'
import { INSTALLED } from './installed'
import type { Native } from './native'
import { VERSION } from './version'

/** The platforms that a package is published for, as in their names. */
export const PLATFORMS = Object.keys(INSTALLED)

const SUPPORTED = 'Linux (glibc 2.17 or newer, or musl), macOS and Windows, each on x64 and arm64'
const REINSTALL = 'Remove node_modules and run "npm install" again.'
const COPIED =
  'node_modules were installed on another system: run "npm install" on the one that they are used on, and keep them out of what ' +
  'is copied there (.dockerignore).'
const BUNDLE =
  'A bundler must leave thryd outside the bundle: serverExternalPackages: ["thryd"] in Next.js, --external:thryd in esbuild, ' +
  'externals in webpack.'

/** The loader's variable for another file. */
const OVERRIDE = 'NAPI_RS_NATIVE_LIBRARY_PATH'
const UNSET = 'Unset that variable.'

/** What is wrong, and what to do. */
type Finding = [what: string, advice: string]

/** This copy of the package; the bundle, if it is in one. */
const FILE = typeof __filename === 'string' ? __filename : ''
// Some bundlers keep the name and make the folder up.
const isBundled = basename(FILE) !== 'diagnosis.js' || !existsSync(FILE)
// Not the `require` of this file: bundlers would want to know what is asked for.
const load = createRequire(isBundled ? join(process.cwd(), 'bundle.js') : FILE)

interface System {
  /** `linux x64, glibc 2.36, Node 24.1.0`. */
  name: string
  libc?: 'glibc' | 'musl'
  glibc?: string
  /** As packages are named; absent if there is none for it. */
  platform?: string
}

function readSystem(): System {
  const { platform, arch, version, versions } = process
  const runtime = ['bun', 'deno', 'electron'].find((one) => versions[one] !== undefined)
  const running = runtime ? `${runtime} ${versions[runtime]}` : `Node ${version.slice(1)}`
  const libc = platform === 'linux' ? readLibc() : undefined
  const suffix = { linux: libc?.libc === 'musl' ? '-musl' : '-gnu', win32: '-msvc' }[platform as string] ?? ''
  const known = PLATFORMS.find((one) => one === `${platform}-${arch}${suffix}`)
  const name = `${platform} ${arch}, ${libc ? `${libc.libc}${libc.glibc ? ` ${libc.glibc}` : ''}, ` : ''}${running}`
  return { name, ...libc, ...(known !== undefined && { platform: known }) }
}

/** What Node itself is linked to. */
function readLibc(): { libc: 'glibc' | 'musl'; glibc?: string } {
  // Not everything that runs JavaScript has one.
  const report: (NodeJS.ProcessReport & { excludeNetwork?: boolean }) | undefined = process.report
  const excludeNetwork = report?.excludeNetwork ?? false
  try {
    // Addresses of sockets are looked up otherwise, which can take seconds.
    report.excludeNetwork = true
    const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } }
    const glibc = header?.glibcVersionRuntime
    return glibc ? { libc: 'glibc', glibc } : { libc: 'musl' }
  } catch {
    return { libc: 'glibc' }
  } finally {
    if (report) report.excludeNetwork = excludeNetwork
  }
}

const packageOf = (platform: string): string => `@thryd/binding-${platform}`

function folderOf(platform: string): string | undefined {
  try {
    return dirname(load.resolve(`${packageOf(platform)}/package.json`))
  } catch {
    return undefined
  }
}

/** The files that can be the addon, in the order in which they are tried. */
function addonsOf(platform: string): string[] {
  if (isBundled) return [findInProject(platform)].filter((file) => file !== undefined)
  const folders = [join(dirname(FILE), '..'), folderOf(platform)].filter((folder) => folder !== undefined)
  return folders.map((folder) => join(folder, `thryd.${platform}.node`)).filter((file) => existsSync(file))
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n', 1)[0]!

/** Whether a file is of the project whose program runs: no other folder that it is started in may bring machine code along. */
function isOfProgram(path: string): boolean {
  const [program] = process.argv.slice(1, 2)
  const [project = ''] = realpathSync(path).split(`${sep}node_modules${sep}`)
  return program !== undefined && realpathSync(program).startsWith(project + sep)
}

/**
 * From within a bundle, the file of the addon that is installed in the project: by the program that was started and by the working
 * directory, as the bundle has no folder of its own there. By its name, as what was traced need be no whole package.
 */
function findInProject(platform: string): string | undefined {
  const file = `${packageOf(platform)}/thryd.${platform}.node`
  const finders = [...process.argv.slice(1, 2), join(process.cwd(), 'package.json')].flatMap((from) => {
    const { resolve } = createRequire(resolvePath(from))
    // pnpm has it beside thryd only.
    return [() => resolve(file), () => createRequire(resolve('thryd')).resolve(file)]
  })
  for (const look of finders) {
    try {
      const path = look()
      if (isOfProgram(path)) return path
    } catch {
      // The next one may know.
    }
  }
  return undefined
}

/**
 * The addon after all: in a bundle, or if this Linux was taken for one with another libc (by `ldd`, which need not be that of Node).
 *
 * @throws ThrydError with `ERR_NATIVE`: why there is none.
 */
export function loadElsewhere(cause: unknown): Native {
  const system = readSystem()
  const trail = [firstLine(cause)]
  const { platform } = system
  const others: (() => Native)[] = []
  if (platform !== undefined && !process.env[OVERRIDE]) {
    const installed = isBundled ? findInProject(platform) : undefined
    if (installed !== undefined) others.push(() => load(installed) as Native)
    if (!trail[0]!.includes(packageOf(platform))) others.push(() => INSTALLED[platform]!() as Native)
  }
  for (const other of others) {
    try {
      return other()
    } catch (error) {
      const line = firstLine(error)
      if (!trail.includes(line)) trail.push(line)
    }
  }
  throw explain(find(system, trail), system, trail, cause)
}

/** The error for an addon of another version than this package. */
export function otherVersion(version = 'unknown'): ThrydError {
  const system = readSystem()
  const path = process.env[OVERRIDE]
  if (path)
    return explain(
      [`${path}, which ${OVERRIDE} names, is of version ${version}, not ${VERSION}.`, UNSET],
      system,
      [],
      undefined,
    )
  const [file = 'its native part'] = system.platform ? addonsOf(system.platform) : []
  const advice = isCheckout() ? 'Run "npm run build".' : REINSTALL
  return explain(
    [`version ${VERSION} has found a native part of version ${version} (${file}).`, advice],
    system,
    [],
    undefined,
  )
}

function explain([what, advice]: Finding, system: System, trail: string[], cause: unknown): ThrydError {
  const tried = trail.map((line, index) => `${index === 0 ? '\n  tried:  ' : '\n          '}${line}`).join('')
  const message = `thryd cannot run here: ${what}\n  system: ${system.name}${tried}\n  to do:  ${advice}`
  const error = new ThrydError(message, { code: 'ERR_NATIVE', retryable: false, attempts: [] })
  if (cause !== undefined) error.cause = cause
  return error
}

function isCheckout(): boolean {
  return existsSync(join(dirname(FILE), '../Cargo.toml'))
}

function find(system: System, trail: string[]): Finding {
  const path = process.env[OVERRIDE]
  if (path) return [`${path}, which ${OVERRIDE} names, does not load.`, UNSET]
  const { platform } = system
  if (platform === undefined) {
    return [`there is no native part for ${process.platform} on ${process.arch}.`, `Use it on ${SUPPORTED}.`]
  }
  if (/loading addons is disabled/.test(trail.join())) {
    return [
      'this process is to load no native part.',
      'Run it without --no-addons, or with --allow-addons beside --permission.',
    ]
  }
  const [file] = addonsOf(platform)
  if (file !== undefined) return inspect(file, system, trail)
  if (isBundled) return ['it is in a bundle, and its native part is not.', BUNDLE]
  const name = packageOf(platform)
  if (folderOf(platform) !== undefined) {
    return [`the package ${name} is there, but thryd.${platform}.node in it is not.`, `${REINSTALL} ${BUNDLE}`]
  }
  if (isCheckout()) return ['its native part is not built.', 'Run "npm run build".']
  const others = PLATFORMS.filter((other) => folderOf(other) !== undefined)
  if (others.length > 0) {
    return [`the package ${name} is not installed, but ${others.map(packageOf).join(', ')} is.`, COPIED]
  }
  return [
    `the package ${name} is not installed.`,
    'Run "npm install" without --omit=optional. A lock file that was made on another system can lack it ' +
      `(npm/cli#4828): then remove package-lock.json and node_modules before. ${BUNDLE}`,
  ]
}

/** The newest that a file names; the linker tells the first that it does not have. */
function newestGlibc(bytes: Buffer): string {
  const minors = [...bytes.toString('latin1').matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor))
  return `2.${Math.max(...minors)}`
}

/** What is wrong with a file that is there. */
function inspect(file: string, system: System, trail: string[]): Finding {
  const bytes = readFileSync(file)
  const { platform, arch, libc, isWhole } = readExecutable(bytes)
  if (!isWhole) return [`${file} is damaged: ${bytes.length} bytes, which is not all of it.`, REINSTALL]
  if (platform !== process.platform || arch !== process.arch) {
    return [`${file} is for ${platform} on ${arch ?? 'another processor'}.`, COPIED]
  }
  if (libc !== system.libc) return [`${file} is for ${libc}, and this system has ${system.libc}.`, COPIED]
  if (/version `GLIBC_[\d.]+' not found/.test(trail.join('\n'))) {
    return [
      `${file} wants glibc ${newestGlibc(bytes)}, and this system has ${system.glibc}.`,
      'The published packages want 2.17: install those, or build on this system.',
    ]
  }
  return [`the system does not load ${file}.`, `See what it says above. If the file was changed: ${REINSTALL}`]
}
