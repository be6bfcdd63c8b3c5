/** What machine code says of itself, in the formats of systems that are not this one. */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { readExecutable } from '../js/executable'

interface Part {
  offset: number
  size: number
}

/** A library of macOS: a header, then commands, of which one for each part says where in the file that is. */
function machO(parts: Part[]): Buffer {
  const commands = parts.map(({ offset, size }) => {
    const command = Buffer.alloc(72)
    command.writeUInt32LE(0x19, 0)
    command.writeUInt32LE(command.length, 4)
    command.writeBigUInt64LE(BigInt(offset), 40)
    command.writeBigUInt64LE(BigInt(size), 48)
    return command
  })
  // And one that says something else.
  const other = Buffer.alloc(24, 0xff)
  other.writeUInt32LE(other.length, 4)
  const all = Buffer.concat([other, ...commands])
  const header = Buffer.alloc(32)
  header.writeUInt32LE(0xfe_ed_fa_cf, 0)
  header.writeUInt32LE(0x1_00_00_0c, 4)
  header.writeUInt32LE(parts.length + 1, 16)
  header.writeUInt32LE(all.length, 20)
  return Buffer.concat([header, all])
}

/** A library of Windows: what DOS reads, then a header and a table of the parts. */
function pe(parts: Part[]): Buffer {
  const optional = 112
  const bytes = Buffer.alloc(128 + 24 + optional + parts.length * 40)
  bytes.write('MZ', 'latin1')
  bytes.writeUInt32LE(128, 60)
  bytes.write('PE', 128, 'latin1')
  bytes.writeUInt16LE(0xaa_64, 128 + 4)
  bytes.writeUInt16LE(parts.length, 128 + 6)
  bytes.writeUInt16LE(optional, 128 + 20)
  for (const [index, { offset, size }] of parts.entries()) {
    const at = 128 + 24 + optional + index * 40
    bytes.writeUInt32LE(size, at + 16)
    bytes.writeUInt32LE(offset, at + 20)
  }
  return bytes
}

const part = fc.record({ offset: fc.integer({ min: 0, max: 5000 }), size: fc.integer({ min: 0, max: 5000 }) })

describe.each([
  ['darwin', machO],
  ['win32', pe],
])('a library of %s', (platform, make) => {
  test('is whole from where its last part ends, and not before', () => {
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
        const start = make(parts)
        const length = Math.max(start.length, ...parts.map(({ offset, size }) => offset + size))
        const bytes = Buffer.concat([start, Buffer.alloc(length - start.length + 1)])
        for (const more of [0, 1]) {
          const read = readExecutable(bytes.subarray(0, length + more))
          expect(read).toEqual({ platform, arch: 'arm64', isWhole: true })
        }
        for (const less of [1, length / 2, length]) {
          expect(readExecutable(bytes.subarray(0, length - Math.ceil(less))).isWhole).toBe(false)
        }
      }),
    )
  })

  test('is read to an end if what stands in it is anything', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 400 }), fc.nat(200), (noise, from) => {
        const bytes = make([{ offset: 0, size: 10 }])
        Buffer.from(noise).copy(bytes, 4 + from)
        expect(readExecutable(bytes).isWhole).toBeTypeOf('boolean')
      }),
    )
    // As many commands or parts as can be, none of which has a size.
    const bytes = Buffer.alloc(1 << 20)
    make([]).copy(bytes)
    bytes.fill(0xff, 16, 20)
    bytes.fill(0, 24)
    expect(readExecutable(bytes).isWhole).toBeTypeOf('boolean')
  })
})
