/** What is published: every tarball looked at, all of them or none, the root last. */

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { PLATFORMS } from '../js/diagnosis'

const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'thryd-release-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Packed {
  name: string
  platform: string | null
  file: string
  integrity: string
}

function run(script: string, ...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'scripts', script), ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { status, output: stdout + stderr }
}

const read = (pack: string): Packed[] => JSON.parse(readFileSync(join(pack, 'index.json'), 'utf8')) as Packed[]

/** A copy of what was packed, to be spoilt. */
function copy(edit: (packed: Packed[]) => Packed[] = (packed) => packed): string {
  const into = mkdtempSync(join(folder, 'copy-'))
  cpSync(join(folder, 'pack'), into, { recursive: true })
  writeFileSync(join(into, 'index.json'), JSON.stringify(edit(read(into))))
  return into
}

// Every platform has an addon, which none could load.
beforeAll(() => {
  const addons = join(folder, 'addons')
  mkdirSync(addons)
  for (const platform of PLATFORMS) writeFileSync(join(addons, `thryd.${platform}.node`), `of ${platform}`)
  const { status, output } = run('pack.mjs', addons, '--out', join(folder, 'pack'))
  if (status !== 0) throw new Error(output)
}, 120_000)

describe('packing', () => {
  test('makes a package for each platform and one without a binary, and what checks them has nothing to say', () => {
    const { status, output } = run('tarballs.mjs', join(folder, 'pack'), '--debug', '--complete')
    expect(output).toContain('| thryd-')
    expect(status).toBe(0)
    expect(read(join(folder, 'pack')).map(({ platform }) => platform)).toEqual([null, ...PLATFORMS])
  })

  test('is not enough for an addon that is no library', () => {
    const { status, output } = run('tarballs.mjs', join(folder, 'pack'))
    expect(status).not.toBe(0)
    expect(output).toContain('This is no library of a Linux')
  })

  test('of some platforms only is said where all are wanted', () => {
    const some = copy((packed) => packed.filter(({ platform }) => platform !== 'darwin-x64'))
    expect(run('tarballs.mjs', some, '--debug').status).toBe(0)
    const { status, output } = run('tarballs.mjs', some, '--debug', '--complete')
    expect(status).not.toBe(0)
    expect(output).toContain('@thryd/binding-darwin-x64 is not there')
  })

  test('a tarball that is not the one of its name is found', () => {
    const swapped = copy()
    const [, first, second] = read(swapped)
    cpSync(join(swapped, second!.file), join(swapped, first!.file))
    const { status, output } = run('tarballs.mjs', swapped, '--debug')
    expect(status).not.toBe(0)
    expect(output).toContain(`${first!.file}: name is "${second!.name}", not "${first!.name}"`)
    expect(output).toMatch(/integrity is/)
    expect(output).toContain('thryd.linux-arm64-gnu.node is no file of it')
  })
})

describe('publishing', () => {
  test('begins with the platforms and ends with the root', () => {
    const { status, output } = run('publish.mjs', join(folder, 'pack'), '--dry-run')
    expect(status).toBe(0)
    const order = output.trim().split('\n')
    expect(order).toHaveLength(PLATFORMS.length + 1)
    expect(order.at(-1)).toMatch(/^thryd@/)
  })

  test('does not begin with a set that lacks a platform', () => {
    const some = copy((packed) => packed.filter(({ platform }) => platform !== 'linux-arm64-musl'))
    const { status, output } = run('publish.mjs', some, '--dry-run')
    expect(status).not.toBe(0)
    expect(output).toContain('Nothing is published:\n  @thryd/binding-linux-arm64-musl is missing')
  })

  test('does not begin with a tarball that was changed since, or is of another version', () => {
    const changed = copy()
    writeFileSync(join(changed, read(changed)[3]!.file), 'changed')
    expect(run('publish.mjs', changed, '--dry-run').output).toContain('is not what was packed')
    const old = copy((packed) => packed.map((one) => ({ ...one, version: '0.0.9' })))
    expect(run('publish.mjs', old, '--dry-run').output).toContain('is not of version')
  })
})
