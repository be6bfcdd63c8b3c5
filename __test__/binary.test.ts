/** What an addon for Linux is looked at for before it is published: the very one that was built here has most of it wrong. */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { inspect, newest } from '../scripts/binary.mjs'
import { readElf } from '../scripts/elf.mjs'

const addon = join(import.meta.dirname, '..', `thryd.linux-${process.arch}-gnu.node`)
const here = { cpu: process.arch, libc: 'glibc' }

test('versions are compared as numbers', () => {
  expect(newest(['2.9', '2.17', '2.2.5'])).toBe('2.17')
  expect(newest([])).toBeUndefined()
})

// What is read is a file of Linux with glibc.
describe.runIf(process.platform === 'linux')('an addon that was built here', () => {
  test('wants what the tools of the system say that it wants', () => {
    const { versions, needed } = readElf(readFileSync(addon))
    const options = { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } } as const
    const said = execFileSync('readelf', ['--version-info', '--dynamic', '--wide', addon], options)
    const names = [...said.matchAll(/Name: (\S+)\s+Flags: (\S+)/g)].map(([, name, flags]) => `${name} ${flags}`)
    const read = versions.map(({ name, isWeak }) => `${name} ${isWeak ? 'WEAK' : 'none'}`)
    expect(read.toSorted()).toEqual(names.toSorted())
    expect(needed).toEqual([...said.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name]) => name))
    expect(read.length).toBeGreaterThan(3)
  })

  test('is not fit to be published: it wants a newer glibc, and is not stripped', () => {
    const { problems, glibc } = inspect(readFileSync(addon), here)
    expect(newest([glibc!, '2.17'])).not.toBe('2.17')
    expect(problems).toContain('it is not stripped')
    expect(problems.join('\n')).toContain(`it wants glibc ${glibc} (of libc.so.6`)
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
