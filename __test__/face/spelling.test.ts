import { runInNewContext } from 'node:vm'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { encodeRequest } from '../../js/encode'
import { spelled } from '../../js/spelling'
import { unspelled } from '../support/spelling'

/** What JSON makes of it. */
const written = (value: object): unknown => JSON.parse(JSON.stringify(value))

/** A number as it is to be written, where there is such a thing: Node 21 has it. */
function byHand(): unknown {
  const { rawJSON } = JSON as unknown as { rawJSON?: (text: string) => object }
  return rawJSON === undefined ? new Date(0) : rawJSON('9007199254740993')
}

describe('a request', () => {
  test('that is plain data crosses as what JSON would make of it, in the order of its fields', () => {
    const number = fc.double({ noNaN: true, noDefaultInfinity: true })
    const values = [fc.string({ unit: 'binary' }), fc.integer(), number, fc.boolean(), fc.constantFrom(null, undefined)]
    const any = fc.object({ values, withNullPrototype: true, withSparseArray: true, withDate: true, withMap: true })
    // Below a name that nobody checks.
    const request = fc.oneof(any, fc.jsonValue()).map((anything) => ({ x_first: 1, anything, x_last: 'z' }))
    fc.assert(
      fc.property(request, (body) => {
        expect(JSON.stringify(unspelled(encodeRequest(body)))).toBe(JSON.stringify(written(body)))
      }),
      { numRuns: 500 },
    )
  })

  test('is spelled in one way: two that are not the same to JSON are never spelled alike', () => {
    const tricky = fc.oneof(fc.constantFrom('', ':', '"', '1:a', '"1:a', '#1;', ']', '}', '{', 'n', '*'), fc.string())
    const value = fc.letrec((again) => ({
      value: fc.oneof(tricky, fc.integer(), fc.constant(null), fc.boolean(), again('list'), again('fields')),
      list: fc.array(again('value'), { maxLength: 3 }),
      fields: fc.dictionary(tricky, again('value'), { maxKeys: 3 }),
    })).fields as fc.Arbitrary<object>
    fc.assert(
      fc.property(value, value, (one, other) => {
        expect(spelled(one) === spelled(other)).toBe(JSON.stringify(one) === JSON.stringify(other))
      }),
    )
  })

  test.each<[string, object]>([
    ['says itself how it is written', { toJSON: () => ({ message: 'Hi' }) }],
    ['has something in it that does', { messages: [{ content: new Date(0) }] }],
    ['has a list in it that does', { tools: Object.assign([1], { toJSON: () => 'list' }) }],
    [
      'is of a class',
      new (class Request {
        message = 'Hi'
      })(),
    ],
    ['is of another realm', runInNewContext('({ messages: [{ role: "user", content: "Hi" }] })') as object],
    ['has holes', { list: Object.assign(Array.from({ length: 2 }), { 3: 2 }) }],
    ['has boxed values', { text: Object('a'), number: Object(1), truth: Object(false) }],
    ['has half a character', { message: '\ud83d', '\ude00': 1 }],
    ['is deep', JSON.parse(`${'{"a":['.repeat(100)}1${']}'.repeat(100)}`) as object],
    ['has bytes', { bytes: new Uint8Array([1, 2]) }],
    ['has JSON written by hand', { seed: byHand() }],
    ['has many parts', { list: Array.from({ length: 5000 }, (_, index) => index) }],
  ])('that %s is left to JSON', (_what, request) => {
    expect(spelled(request)).toBeUndefined()
    expect(unspelled(encodeRequest(request))).toEqual(written(request))
  })

  test('with a getter in its depth that throws is refused in the words of thryd, whatever it throws', () => {
    for (const thrown of [new Error('mine'), 'mine']) {
      const throwing = {
        get content(): string {
          throw thrown
        },
      }
      expect(() => encodeRequest({ messages: [throwing] })).toThrow(
        new TypeError('request: cannot be written as JSON: mine', { cause: thrown }),
      )
    }
  })

  test('that has halves of a character side by side in two texts has no whole one', () => {
    expect(spelled({ '\ud83d': '\ude00' })).toBeUndefined()
    expect(unspelled(spelled({ a: '\u{1f600}', '\u{1f600}': 'é' }) as string)).toEqual({
      a: '\u{1f600}',
      '\u{1f600}': 'é',
    })
  })

  test('is read once, so that what is looked up is what is sent', () => {
    let reads = 0
    const request = {
      get message() {
        reads += 1
        return `read ${reads}`
      },
    }
    expect(unspelled(encodeRequest(request))).toEqual({ message: 'read 1' })
    expect(reads).toBe(1)
  })

  test('of long strings has them beside it, not copied into it, each in its place', () => {
    const [one, two] = ['é'.repeat(70_000), '\u{1f600}"\n'.repeat(40_000)]
    const request = { messages: [{ content: one }, { content: 'short' }], x: { [two]: two, y: 1 } }
    const spoken = spelled(request) as string[]
    expect(spoken.slice(1)).toEqual([one, two])
    expect(unspelled(spoken)).toEqual(request)
  })

  test('with half a character at the end of a long string is left to JSON', () => {
    const request = { message: 'a'.repeat(70_000) + '\ud83d' }
    expect(spelled(request)).toBeUndefined()
    expect(unspelled(encodeRequest(request))).toEqual(request)
  })

  test('is spelled whole by whom one of its getters asks for another', () => {
    const long = 'b'.repeat(70_000)
    const inner = { message: 'c'.repeat(70_000) }
    const outer = {
      first: long,
      get second() {
        expect(unspelled(encodeRequest(inner))).toEqual(inner)
        return `${long}2`
      },
    }
    expect(unspelled(encodeRequest(outer))).toEqual({ first: long, second: `${long}2` })
  })

  test('with one long string in so many places that no text can have it all is refused', () => {
    const long = 'a'.repeat(2 ** 20)
    const request = { input: Array.from({ length: 1000 }, () => long) }
    expect(spelled(request)).toBeUndefined()
    expect(() => encodeRequest(request)).toThrow(
      new TypeError('request: cannot be written as JSON: Invalid string length'),
    )
  })
})
