// Reads what a shared library of Linux (ELF, 64 bits, little-endian) asks of its system, from the tables that the linker goes by.

const MACHINES = { 62: 'x86-64', 183: 'AArch64' }
const DYNAMIC = 6
const GNU_VERSION_NEEDED = 0x6f_ff_ff_fe
const SYMBOL_TABLE = 2
const NEEDED = 1n
const WEAK = 2

const readText = (bytes, start) => bytes.toString('latin1', start, bytes.indexOf(0, start))

function readSections(bytes) {
  const start = Number(bytes.readBigUInt64LE(40))
  const size = bytes.readUInt16LE(58)
  return Array.from({ length: bytes.readUInt16LE(60) }, (_, index) => {
    const at = start + index * size
    return {
      type: bytes.readUInt32LE(at + 4),
      offset: Number(bytes.readBigUInt64LE(at + 24)),
      size: Number(bytes.readBigUInt64LE(at + 32)),
      link: bytes.readUInt32LE(at + 40),
      info: bytes.readUInt32LE(at + 44),
    }
  })
}

/** Each version of a library's symbols that is wanted; weak ones stop some linkers too. */
function readVersions(bytes, { offset, info }, texts) {
  const versions = []
  let library = offset
  for (let libraries = 0; libraries < info; libraries++) {
    let version = library + bytes.readUInt32LE(library + 8)
    for (let count = bytes.readUInt16LE(library + 2); count > 0; count--) {
      versions.push({
        library: readText(bytes, texts + bytes.readUInt32LE(library + 4)),
        name: readText(bytes, texts + bytes.readUInt32LE(version + 8)),
        isWeak: (bytes.readUInt16LE(version + 4) & WEAK) !== 0,
      })
      version += bytes.readUInt32LE(version + 12)
    }
    library += bytes.readUInt32LE(library + 12)
  }
  return versions
}

function readNeeded(bytes, { offset, size }, texts) {
  const needed = []
  for (let at = offset; at < offset + size; at += 16) {
    if (bytes.readBigInt64LE(at) === NEEDED) needed.push(readText(bytes, texts + Number(bytes.readBigUInt64LE(at + 8))))
  }
  return needed
}

/** The machine, the libraries and the versions of symbols that a shared library needs, and whether it has a table of symbols. */
export function readElf(bytes) {
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f_45_4c_46 || bytes[4] !== 2 || bytes[5] !== 1) {
    throw new TypeError('This is no library of a Linux with 64 bits, little-endian.')
  }
  const sections = readSections(bytes)
  const dynamic = sections.find(({ type }) => type === DYNAMIC)
  if (!dynamic) throw new TypeError('This is no shared library: it has no dynamic section.')
  const textsOf = ({ link }) => sections[link].offset
  return {
    machine: MACHINES[bytes.readUInt16LE(18)] ?? 'another machine',
    needed: readNeeded(bytes, dynamic, textsOf(dynamic)),
    versions: sections
      .filter(({ type }) => type === GNU_VERSION_NEEDED)
      .flatMap((section) => readVersions(bytes, section, textsOf(section))),
    isStripped: !sections.some(({ type }) => type === SYMBOL_TABLE),
  }
}
