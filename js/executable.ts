/** For which system a file of machine code is: what its first bytes say, in each system's format. */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

export interface Executable {
  /** As `process.platform` and `process.arch` say it; absent if the file is none, or unknown. */
  platform?: string
  arch?: string
  /** Of what is for Linux. */
  libc?: 'glibc' | 'musl'
  /** False if the file certainly ends too early. */
  isWhole: boolean
}

const NOTHING: Executable = { isWhole: false }

const HEADER = 64
const isElf = (bytes: Buffer): boolean => bytes.length >= HEADER && bytes.readUInt32BE(0) === 0x7f_45_4c_46

/** How long a file of Linux has to be: the table of its sections stands at its end. */
function lengthOfElf(header: Buffer): number {
  const is64Bit = header[4] === 2
  return is64Bit ? Number(header.readBigUInt64LE(40)) + header.readUInt16LE(58) * header.readUInt16LE(60) : 0
}

/**
 * Throws if a file of Linux ends too early. One that does is mapped all the same, and the process dies as it reads what is
 * not there: the linkers of other systems look by themselves. What cannot be opened is left to whoever maps it.
 */
export function demandWhole(path: string): void {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch {
    return
  }
  try {
    const header = Buffer.alloc(HEADER)
    const { size } = fstatSync(file)
    if (readSync(file, header, 0, HEADER, 0) < HEADER || !isElf(header)) return
    const length = lengthOfElf(header)
    if (size < length) throw new Error(`${path}: cut short, ${size} of ${length} bytes`)
  } finally {
    closeSync(file)
  }
}

export function readExecutable(bytes: Buffer): Executable {
  if (bytes.length < HEADER) return NOTHING
  if (isElf(bytes)) return readElf(bytes)
  if (bytes.readUInt32LE(0) === 0xfe_ed_fa_cf) return readMachO(bytes)
  if (bytes.toString('latin1', 0, 2) === 'MZ') return readPe(bytes)
  return NOTHING
}

const of = (platform: string, arch: string | undefined, isWhole: boolean): Executable => ({
  platform,
  ...(arch !== undefined && { arch }),
  isWhole,
})

function readElf(bytes: Buffer): Executable {
  const arch = { 3: 'ia32', 40: 'arm', 62: 'x64', 183: 'arm64' }[bytes.readUInt16LE(18)]
  const libc = bytes.includes('libc.so.6') ? 'glibc' : 'musl'
  return { ...of('linux', arch, lengthOfElf(bytes) <= bytes.length), libc }
}

const SEGMENT = 0x19

function readMachO(bytes: Buffer): Executable {
  const arch = { 0x1_00_00_07: 'x64', 0x1_00_00_0c: 'arm64' }[bytes.readUInt32LE(4)]
  // Commands of various sizes, some of which say where a segment is.
  let command = 32
  let end = command + bytes.readUInt32LE(20)
  if (end > bytes.length) return of('darwin', arch, false)
  for (let count = bytes.readUInt32LE(16); count > 0 && command + 72 <= bytes.length; count -= 1) {
    if (bytes.readUInt32LE(command) === SEGMENT) {
      const last = bytes.readBigUInt64LE(command + 40) + bytes.readBigUInt64LE(command + 48)
      end = Math.max(end, Number(last))
    }
    // Never 0, however it is spoilt.
    command += Math.max(8, bytes.readUInt32LE(command + 4))
  }
  return of('darwin', arch, end <= bytes.length)
}

function readPe(bytes: Buffer): Executable {
  const header = bytes.readUInt32LE(60)
  if (header + 24 > bytes.length) return NOTHING
  const arch = { 0x1_4c: 'ia32', 0x86_64: 'x64', 0xaa_64: 'arm64' }[bytes.readUInt16LE(header + 4)]
  // Behind a header of various size, one for each section says where that is.
  const sections = header + 24 + bytes.readUInt16LE(header + 20)
  const count = bytes.readUInt16LE(header + 6)
  let end = sections + count * 40
  if (end > bytes.length) return of('win32', arch, false)
  for (let section = sections; section < sections + count * 40; section += 40) {
    end = Math.max(end, bytes.readUInt32LE(section + 16) + bytes.readUInt32LE(section + 20))
  }
  return of('win32', arch, end <= bytes.length)
}
