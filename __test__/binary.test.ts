/** What an addon for Linux is looked at for before it is published. One that a C compiler makes here has most of it wrong. */

import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { inspect, newest } from '../scripts/binary.mjs'
import { readElf } from '../scripts/elf.mjs'

const built = join(import.meta.dirname, '..', `thryd.linux-${process.arch}-gnu.node`)
const folder = mkdtempSync(join(tmpdir(), 'thryd-binary-'))
const addon = join(folder, 'made.node')
const here = { cpu: process.arch, libc: 'glibc' }

test('versions are compared as numbers', () => {
  expect(newest(['2.9', '2.17', '2.2.5'])).toBe('2.17')
  expect(newest([])).toBeUndefined()
})

/** What glibc has since 2.25 and 2.29 only, in two libraries of it. */
const SOURCE = `
  #include <math.h>
  #include <sys/random.h>
  double of(double x) { long y; getrandom(&y, sizeof y, 0); return pow(x, y); }`

function compile(into: string, ...flags: string[]): void {
  writeFileSync(join(folder, 'made.c'), SOURCE)
  const out = ['-o', into, join(folder, 'made.c'), '-lm']
  execFileSync('cc', ['-shared', '-fPIC', '-fno-builtin', ...flags, ...out], { timeout: 60_000 })
}

afterAll(() => rmSync(folder, { recursive: true }))

const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }

// On other systems, and with musl, the compiler makes nothing that wants a version of glibc.
describe.runIf(header.glibcVersionRuntime !== undefined)('an addon that was made here', () => {
  beforeAll(() => compile(addon))

  // Ours, where there is not that of another platform only.
  test.each(existsSync(built) ? [addon, built] : [addon])('wants what the tools of the system say: %s', (path) => {
    const { versions, needed } = readElf(readFileSync(path))
    const options = { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' }, timeout: 60_000 } as const
    const said = execFileSync('readelf', ['--version-info', '--dynamic', '--wide', path], options)
    const names = [...said.matchAll(/Name: (\S+)\s+Flags: (\S+)/g)].map(([, name, flags]) => `${name} ${flags}`)
    const read = versions.map(({ name, isWeak }) => `${name} ${isWeak ? 'WEAK' : 'none'}`)
    expect(read.toSorted()).toEqual(names.toSorted())
    expect(needed).toEqual([...said.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name]) => name))
    expect(read.length).toBeGreaterThan(1)
    expect(needed).toContain('libc.so.6')
  })

  test('is not fit to be published: it wants a newer glibc, and is not stripped', () => {
    const { problems, glibc } = inspect(readFileSync(addon), here)
    expect(newest([glibc!, '2.17'])).not.toBe('2.17')
    expect(problems).toContain('it is not stripped')
    expect(problems.join('\n')).toMatch(new RegExp(`it wants glibc ${glibc} \\(of lib[cm]\\.so\\.6`))
    const stripped = join(folder, 'stripped.node')
    compile(stripped, '-s')
    expect(inspect(readFileSync(stripped), here).problems).toEqual(
      problems.filter((one) => one !== 'it is not stripped'),
    )
  })

  test('is no better if the newer symbols are weak', () => {
    const bytes = readFileSync(addon)
    const strong = readElf(bytes).versions
    // Each entry of the table is a hash of the name, then its flags.
    const wanted = strong.find(({ name }) => name === `GLIBC_${inspect(bytes, here).glibc}`)!.name
    const hash = Buffer.alloc(4)
    hash.writeUInt32LE(
      [...wanted].reduce((sum, letter) => {
        const next = (sum * 16 + letter.charCodeAt(0)) % 2 ** 32
        const high = Math.floor(next / 2 ** 28)
        return (high === 0 ? next : next ^ (high << 4)) & 0x0f_ff_ff_ff
      }, 0),
    )
    let entries = 0
    for (let at = bytes.indexOf(hash); at !== -1; at = bytes.indexOf(hash, at + 1)) {
      bytes.writeUInt16LE(2, at + 4)
      entries++
    }
    expect(entries).toBeGreaterThan(0)
    expect(readElf(bytes).versions.some(({ name, isWeak }) => name === wanted && isWeak)).toBe(true)
    expect(inspect(bytes, here).problems.join('\n')).toMatch(/wants glibc .*weak/)
  })

  test('is not taken for one for another processor, or for musl', () => {
    const bytes = readFileSync(addon)
    const other = process.arch === 'x64' ? 'arm64' : 'x64'
    expect(inspect(bytes, { ...here, cpu: other }).problems.join('\n')).toMatch(/it is for .*, not/)
    const { problems } = inspect(bytes, { ...here, libc: 'musl' })
    expect(problems.join('\n')).toMatch(/it wants glibc .*, and is for musl/)
    expect(problems.join('\n')).toMatch(/it needs .*libc\.so\.6/)
  })

  test('is refused if it is no library of Linux at all', () => {
    expect(() => readElf(Buffer.alloc(100))).toThrow(TypeError)
    expect(() => readElf(readFileSync(addon).subarray(0, 4096))).toThrow(RangeError)
  })
})
