// What is published for Linux, looked at from outside: `node scripts/binary.mjs <folder of addons>`. Fails if a build needs a newer
// glibc than 2.17, weak symbols too, or a library that not every system has, or if it is not stripped or too big. Other addons
// than ours, `node scripts/binary.mjs <file.node>...`, are only described.
import { existsSync, readFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

import { readElf } from './elf.mjs'
import { platforms } from './platforms.mjs'

/** Bytes that an addon has at most. */
export const BUDGET = 12 * 1024 * 1024

const NEWEST_GLIBC = '2.17'

/** What each libc brings, and nothing else: no libgcc_s, which slim images lack. */
const libraries = {
  glibc: /^(?:lib(?:c|m|dl|pthread|rt|util)\.so\.\d|ld-linux-.*\.so\.\d)$/,
  musl: /^libc(?:\.musl-\w+)?\.so(?:\.1)?$/,
}

const machines = { x64: 'x86-64', arm64: 'AArch64' }

/** Compares `2.9` and `2.17` as versions. */
export function newest(versions) {
  const order = new Intl.Collator('en', { numeric: true })
  return [...versions].toSorted((left, right) => order.compare(left, right)).at(-1)
}

/** What is wrong with the bytes of an addon for Linux, and what is to be known of it. */
export function inspect(bytes, { cpu, libc }) {
  const { machine, needed, versions, isStripped } = readElf(bytes)
  const glibc = newest(
    versions.filter(({ name }) => name.startsWith('GLIBC_')).map(({ name }) => name.slice('GLIBC_'.length)),
  )
  const problems = []
  if (machine !== machines[cpu]) problems.push(`it is for ${machine}, not ${machines[cpu]}`)
  if (libc === 'musl' && glibc) problems.push(`it wants glibc ${glibc}, and is for musl`)
  if (libc === 'glibc' && !glibc) problems.push('it names no version of glibc')
  if (libc === 'glibc' && glibc && newest([glibc, NEWEST_GLIBC]) !== NEWEST_GLIBC) {
    const names = versions
      .filter(({ name }) => name === `GLIBC_${glibc}`)
      .map(({ library, isWeak }) => `${library}${isWeak ? ', weak' : ''}`)
    problems.push(`it wants glibc ${glibc} (of ${names.join('; ')}), not at most ${NEWEST_GLIBC}`)
  }
  const strange = needed.filter((name) => !libraries[libc].test(name))
  if (strange.length > 0) problems.push(`it needs ${strange.join(', ')}`)
  if (!isStripped) problems.push('it is not stripped')
  if (bytes.length > BUDGET) problems.push(`it has ${bytes.length} bytes, not at most ${BUDGET}`)
  return { problems, glibc, needed, size: bytes.length }
}

const HEAD = '| addon | newest glibc symbol | libraries | MiB unpacked |\n|---|---|---|---|'
const row = (name, { glibc, needed, size }) =>
  `| ${name} | ${glibc ?? 'none'} | ${needed.join(' ')} | ${(size / 1024 / 1024).toFixed(2)} |`

/** Any addons, in their own files: what they want, and no judgement. */
function describe(paths) {
  console.log(HEAD)
  for (const path of paths) console.log(row(basename(path), inspect(readFileSync(path), { libc: 'glibc' })))
}

/** What was built to be published. */
function check(folder) {
  const linux = platforms.filter(({ os, addon }) => os === 'linux' && existsSync(join(folder, addon)))
  const problems = linux.length > 0 ? [] : [`There is no addon for Linux in ${folder}: npm run build:linux makes them.`]
  console.log(HEAD)
  for (const platform of linux) {
    const found = inspect(readFileSync(join(folder, platform.addon)), platform)
    console.log(row(platform.addon, found))
    problems.push(...found.problems.map((problem) => `${platform.addon}: ${problem}`))
  }
  if (problems.length > 0) {
    console.error(problems.join('\n'))
    process.exitCode = 1
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const paths = process.argv.slice(2)
  if (paths[0]?.endsWith('.node')) describe(paths)
  else check(resolve(paths[0] ?? 'binaries'))
}
