/** What is published, installed and then spoilt: what `require('thryd')` says, in a process of its own. */

import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve, sep } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { PLATFORMS } from '../js/diagnosis'
import { newest } from '../scripts/binary.mjs'
import { readElf } from '../scripts/elf.mjs'

const root = join(import.meta.dirname, '..')
const { version, napi } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string
  napi: { targets: string[] }
}

/** A process that is waited for holds all of this one, also the clock of its test. */
const bounded = { timeout: 60_000 }

/** Packed, then put where npm would put it. */
const folder = mkdtempSync(join(tmpdir(), 'thryd-install-'))
const fresh = join(folder, 'fresh')
let platform = ''
afterAll(() => rmSync(folder, { recursive: true, force: true }))

beforeAll(() => {
  // The one that was built here.
  platform = PLATFORMS.find((one) => existsSync(join(root, `thryd.${one}.node`)))!
  const addon = `thryd.${platform}.node`
  copyFileSync(join(root, addon), join(folder, addon))
  // Of an addon with debugging information most is that.
  if (process.platform === 'linux') execFileSync('strip', [join(folder, addon)], bounded)
  const out = join(folder, 'pack')
  execFileSync(process.execPath, [join(root, 'scripts/pack.mjs'), folder, '--out', out], bounded)
  const packed = JSON.parse(readFileSync(join(out, 'index.json'), 'utf8')) as { name: string; file: string }[]
  for (const { name, file } of packed) {
    const into = join(fresh, 'node_modules', name)
    mkdirSync(into, { recursive: true })
    // By a relative path: tar takes a drive's letter for a host.
    const there = join('../fresh/node_modules', name)
    execFileSync('tar', ['-xzf', file, '--strip-components=1', '-C', there], { cwd: out, ...bounded })
  }
}, 120_000)

interface Outcome {
  name: string
  code: string
  message: string
  cause: string
  stack: string
}

/** An installed copy to be spoilt. */
class Copy {
  readonly path = mkdtempSync(join(folder, 'copy-'))

  constructor() {
    const addon = this.native()
    cpSync(fresh, this.path, { recursive: true, filter: (source) => !source.endsWith('.node') })
    linkSync(join(fresh, relative(this.path, addon)), addon)
  }

  /** A file of the package that holds the addon. */
  native(file = `thryd.${platform}.node`, of = platform): string {
    return join(this.path, 'node_modules/@thryd', `binding-${of}`, file)
  }

  /** The same addon, as if it were that of another platform. */
  rename(to: string): void {
    mkdirSync(this.native('', to))
    copyFileSync(this.native(), this.native(`thryd.${to}.node`, to))
    writeFileSync(
      this.native('package.json', to),
      readFileSync(this.native('package.json'), 'utf8').replaceAll(platform, to),
    )
    rmSync(this.native(''), { recursive: true })
  }

  edit(file: string, edit: (text: string) => string): void {
    // Every byte as one character, so that what is not edited stays.
    const text = readFileSync(file, 'latin1')
    // It is a link to what other copies have too.
    rmSync(file)
    writeFileSync(file, edit(text), 'latin1')
  }

  /** What is thrown as the package is loaded, after `before` has run. */
  load(before = '', env: Record<string, string> = {}): Outcome | undefined {
    const source = `${before}
      let outcome = null
      try { require('thryd') } catch (error) {
        const { name, code, message, cause, stack } = error
        outcome = { name, code, message, cause: String(cause), stack }
      }
      console.log(JSON.stringify(outcome))`
    const options = { cwd: this.path, encoding: 'utf8', env: { ...process.env, ...env }, ...bounded } as const
    return (JSON.parse(execFileSync(process.execPath, ['--eval', source], options)) ?? undefined) as Outcome | undefined
  }
}

const pretend = (os: string, arch: string): string => `
  Object.defineProperty(process, 'platform', { value: '${os}' })
  Object.defineProperty(process, 'arch', { value: '${arch}' })`

/** As on Alpine: what the loader and the diagnosis ask. */
const musl = `
  const fs = require('node:fs')
  const { readFileSync } = fs
  fs.readFileSync = (path, ...rest) => (path === '/usr/bin/ldd' ? 'musl libc' : readFileSync(path, ...rest))
  process.report.getReport = () => ({ header: {}, sharedObjects: ['/lib/ld-musl-x86_64.so.1'] })`

describe('an installed copy', () => {
  test('loads, and none of what speaks of failures is read', () => {
    expect(new Copy().load()).toBeUndefined()
    const copy = new Copy()
    rmSync(join(copy.path, 'node_modules/thryd/dist/diagnosis.js'))
    expect(copy.load()).toBeUndefined()
  })

  test('names the platforms that packages are published for, and no others', () => {
    expect(PLATFORMS.length).toBe(napi.targets.length)
    const { optionalDependencies } = JSON.parse(
      readFileSync(join(fresh, 'node_modules/thryd/package.json'), 'utf8'),
    ) as { optionalDependencies: Record<string, string> }
    const expected = Object.fromEntries(PLATFORMS.map((one) => [`@thryd/binding-${one}`, version]))
    expect(optionalDependencies).toEqual(expected)
  })

  test.each([
    ['freebsd', 'x64'],
    ['linux', 'ia32'],
    ['linux', 'riscv64'],
    ['sunos', 'x64'],
    ['aix', 'ppc64'],
  ])('on %s %s says that there is nothing for it, and what there is', (os, arch) => {
    const { name, code, message } = new Copy().load(pretend(os, arch))!
    expect({ name, code }).toEqual({ name: 'ThrydError', code: 'ERR_NATIVE' })
    expect(message).toContain(`there is no native part for ${os} on ${arch}.`)
    expect(message).toContain('Linux (glibc 2.17 or newer, or musl), macOS and Windows, each on x64 and arm64')
  })

  test('shows its own sources in stack traces, where Node is told to map them', () => {
    const { stack } = new Copy().load(pretend('sunos', 'x64'), { NODE_OPTIONS: '--enable-source-maps' })!
    expect(stack).toMatch(/at .*js[\\/]diagnosis\.ts:\d+/)
    const dist = join(fresh, 'node_modules/thryd/dist')
    const maps = readdirSync(dist, { encoding: 'utf8', recursive: true }).filter((path) => path.endsWith('.map'))
    const shown = new Set<string>()
    for (const path of maps) {
      const map = JSON.parse(readFileSync(join(dist, path), 'utf8')) as { sources: string[]; sourcesContent: string[] }
      for (const [place, source] of map.sources.entries()) {
        const file = resolve(dirname(join(dist, path)), source)
        const [, name] = file.split(`${join(fresh, 'node_modules/thryd')}${sep}`)
        expect(map.sourcesContent[place]).toBe(readFileSync(join(root, name!), 'utf8'))
        shown.add(name!)
      }
    }
    expect(shown.size).toBeGreaterThan(20)
  })

  test('whose native package was not installed says which one, what was tried, and why it can be missing', () => {
    const copy = new Copy()
    rmSync(copy.native(''), { recursive: true })
    const { code, message, cause } = copy.load()!
    expect(code).toBe('ERR_NATIVE')
    expect(message).toContain(`the package @thryd/binding-${platform} is not installed.`)
    expect(message).toContain(`${process.platform} ${process.arch}`)
    expect(message).toContain(`Node ${process.versions.node}`)
    expect(message).toContain(`tried:  Cannot find module '@thryd/binding-${platform}'`)
    expect(message).toMatch(/--omit=optional.*npm\/cli#4828.*serverExternalPackages/)
    expect(cause).toContain(`Cannot find module '@thryd/binding-${platform}'`)
  })

  test('that came from another system says which system it is for', () => {
    const copy = new Copy()
    const other = platform === 'darwin-arm64' ? 'linux-x64-gnu' : 'darwin-arm64'
    copy.rename(other)
    const { message } = copy.load()!
    expect(message).toContain(`@thryd/binding-${platform} is not installed, but @thryd/binding-${other} is.`)
    expect(message).toContain('.dockerignore')
  })

  test('whose native package lost its file says so', () => {
    const copy = new Copy()
    rmSync(copy.native())
    expect(copy.load()!.message).toContain(
      `the package @thryd/binding-${platform} is there, but thryd.${platform}.node in it is not.`,
    )
  })

  test('with a native part of another version says both versions, and where it was found', () => {
    const copy = new Copy()
    for (const name of ['router', 'diagnosis']) {
      const file = join(copy.path, `node_modules/thryd/dist/${name}.js`)
      copy.edit(file, (text) => text.replaceAll(version, '9.8.7'))
    }
    const { code, message } = copy.load()!
    expect(code).toBe('ERR_NATIVE')
    expect(message).toContain(`version 9.8.7 has found a native part of version ${version} (`)
    expect(message).toContain(`thryd.${platform}.node`)
    expect(message).toContain('Remove node_modules')
  })

  test('that is told to load something else, or what is not there, names the variable', () => {
    const copy = new Copy()
    const other = join(copy.path, 'other.js')
    writeFileSync(other, 'module.exports = { hello: 1 }')
    const { code, message } = copy.load('', { NAPI_RS_NATIVE_LIBRARY_PATH: other })!
    expect(code).toBe('ERR_NATIVE')
    expect(message).toContain(
      `${other}, which NAPI_RS_NATIVE_LIBRARY_PATH names, is of version unknown, not ${version}.`,
    )
    rmSync(copy.native(''), { recursive: true })
    expect(copy.load('', { NAPI_RS_NATIVE_LIBRARY_PATH: '/nowhere/thryd.node' })!.message).toContain(
      '/nowhere/thryd.node, which NAPI_RS_NATIVE_LIBRARY_PATH names, does not load.',
    )
  })

  test('in a process that is to load no addons says so', () => {
    const { code, message } = new Copy().load('', { NODE_OPTIONS: '--no-addons' })!
    expect(code).toBe('ERR_NATIVE')
    expect(message).toContain('this process is to load no native part.')
    expect(message).toContain('--allow-addons')
  })

  test.each([0, 10, 64, 4096, 1 << 20])('whose native part ends after %d bytes says that it is damaged', (bytes) => {
    const copy = new Copy()
    copy.edit(copy.native(), (text) => text.slice(0, bytes))
    const { code, message } = copy.load()!
    expect(code).toBe('ERR_NATIVE')
    expect(message).toContain(`thryd.${platform}.node is damaged: ${bytes} bytes`)
    expect(message).toContain('Remove node_modules')
  })

  test('whose native part is text says that it is damaged', () => {
    const copy = new Copy()
    copy.edit(copy.native(), () => 'version https://git-lfs.github.com/spec/v1\n'.repeat(9))
    expect(copy.load()!.message).toContain('is damaged')
  })

  test('in a bundle says that a bundler must leave it outside', () => {
    const copy = new Copy()
    rmSync(copy.native(''), { recursive: true })
    const dist = join(copy.path, 'node_modules/thryd/dist')
    copyFileSync(join(dist, 'diagnosis.js'), join(dist, 'chunk-1.js'))
    copy.edit(join(dist, 'router.js'), (text) => text.replace('./diagnosis', './chunk-1'))
    expect(copy.load()!.message).toMatch(/it is in a bundle.*\n.*\n[^]*serverExternalPackages/)
  })
})

// Machine code of Linux can be spoilt with an editor.
describe.runIf(process.platform === 'linux')('on Linux, an installed copy', () => {
  const other = process.arch === 'x64' ? 'arm64' : 'x64'

  test('whose native part is for another processor says which', () => {
    const copy = new Copy()
    const machine = other === 'arm64' ? '\u00b7' : '\u003e'
    copy.edit(copy.native(), (text) => text.slice(0, 18) + machine + text.slice(19))
    expect(copy.load()!.message).toContain(`thryd.${platform}.node is for linux on ${other}.`)
  })

  test('whose native part wants a newer glibc says which, and which there is', () => {
    const copy = new Copy()
    const { versions } = readElf(readFileSync(copy.native()))
    // Of a weak one the linker only warns.
    const strong = versions.filter(({ name, isWeak }) => name.startsWith('GLIBC_2.') && !isWeak)
    const wanted = newest(strong.map(({ name }) => name))!
    copy.edit(copy.native(), (text) => text.replaceAll(wanted, 'GLIBC_2.99'))
    const { message } = copy.load()!
    expect(message).toMatch(/wants glibc 2\.99, and this system has 2\.\d\d\./)
    expect(message).toContain('2.17')
  })

  test('whose native part was linked to musl says so where there is glibc', () => {
    const copy = new Copy()
    copy.edit(copy.native(), (text) => text.replaceAll('libc.so.6', 'libc.so\0\0'))
    expect(copy.load()!.message).toMatch(/is for musl, and this system has glibc\./)
  })

  test('whose native part was linked to glibc says so where there is musl', () => {
    const copy = new Copy()
    const there = `linux-${process.arch}-musl`
    copy.edit(copy.native(), (text) => text.replaceAll('libm.so.6', 'libm.so.9'))
    copy.rename(there)
    const { message } = copy.load(musl)!
    expect(message).toContain(`thryd.${there}.node is for glibc, and this system has musl.`)
    expect(message).toContain(`linux ${process.arch}, musl, Node`)
  })

  test('that was installed with the packages of glibc says so where there is musl', () => {
    const { message } = new Copy().load(musl)!
    expect(message).toMatch(/-musl is not installed, but @thryd\/binding-linux-.*-gnu is\./)
  })

  test('loads by the libc of Node itself, where ldd is that of another', () => {
    const ldd = musl.slice(0, musl.indexOf('process.report'))
    expect(new Copy().load(ldd)).toBeUndefined()
  })

  test('whose native part the system refuses for another reason says what the system said', () => {
    const copy = new Copy()
    copy.edit(copy.native(), (text) => text.replaceAll('libm.so.6', 'libm.so.9'))
    const { message } = copy.load()!
    expect(message).toMatch(/the system does not load .*thryd\..*\.node\./)
    expect(message).toContain('tried:')
    expect(message).toContain('libm.so.9: cannot open shared object file')
  })
})
