/**
 * How requests cross: plain data is spelled with each string as it is, after its length, and the core writes it as JSON if it has to
 * (`src/node/spelling.rs`). Most of what `JSON.stringify` takes is the look at every letter, which a request that is only looked up
 * does not need. Long strings stay beside the spelling, so that they are not copied into it.
 */

/** What is nested deeper is left to `JSON.stringify`, which says where it ends. */
const DEEPEST = 64

/** Beyond this many fields and items of one object, it is written sooner than spelled. */
const MOST_PARTS = 4096

/** Units of UTF-16 from which on a string is long. */
const LONG = 65_536

/** No string of JavaScript's is longer, so that JSON refuses what is longer altogether. */
const MOST_UNITS = 2 ** 29 - 24

/** A request as it crosses: one text, or the text and the long strings that it names, in their order. */
export type Spoken = string | string[]

/** The spelling of the request that is being spelled, and its long strings, once it has one. */
let long: string[] | undefined
let longUnits = 0

/** The spellings of the first names that came, which are nearly always the same. */
const NAMES = new Map<string, string>()
const MOST_NAMES = 256

interface WellFormed {
  isWellFormed(): boolean
}

/** The spelling of a request, if it is plain data: what `JSON.stringify` would write letter by letter, and nothing that says itself how it is written. */
export function spelled(request: object): Spoken | undefined {
  // A getter of the caller's may ask for another.
  const [outer, outerUnits] = [long, longUnits]
  long = undefined
  longUnits = 0
  try {
    const text = spell(request, 0)
    return text === undefined ? undefined : spoken('*' + text, long)
  } finally {
    long = outer
    longUnits = outerUnits
  }
}

function spoken(text: string, beside: string[] | undefined): Spoken | undefined {
  if (!isWellFormed(text)) return undefined
  if (beside === undefined) return text
  beside[0] = text
  return beside.every(isWellFormed) ? beside : undefined
}

/** Half a character has no UTF-8. */
function isWellFormed(text: string): boolean {
  return (text as unknown as WellFormed).isWellFormed()
}

function spell(value: unknown, depth: number): string | undefined {
  switch (typeof value) {
    case 'string':
      if (value.length >= LONG) {
        long ??= ['']
        long.push(value)
        // One string may stand in many places.
        longUnits += value.length
        return longUnits > MOST_UNITS ? undefined : 'L'
      }
      return '"' + value.length + ':' + value
    case 'number':
      return Number.isFinite(value) ? '#' + value + ';' : undefined
    case 'boolean':
      return value ? 't' : 'f'
    case 'object':
      if (value === null) return 'n'
      if (depth === DEEPEST || 'toJSON' in value) return undefined
      return Array.isArray(value) ? spellArray(value, depth + 1) : spellObject(value, depth + 1)
    default:
      return undefined
  }
}

function spellArray(items: readonly unknown[], depth: number): string | undefined {
  if (items.length > MOST_PARTS) return undefined
  let text = '['
  for (let place = 0; place < items.length; place += 1) {
    const item = spell(items[place], depth)
    if (item === undefined) return undefined
    text += item
  }
  return text + ']'
}

function spellObject(fields: object, depth: number): string | undefined {
  const prototype: unknown = Object.getPrototypeOf(fields)
  if (prototype !== Object.prototype && prototype !== null) return undefined
  // What `JSON.rawJSON` makes, which `JSON.stringify` writes as it is.
  if (prototype === null && 'rawJSON' in fields) return undefined
  const names = Object.keys(fields)
  if (names.length > MOST_PARTS) return undefined
  let text = '{'
  for (const name of names) {
    const value = (fields as Record<string, unknown>)[name]
    if (value === undefined) continue
    const said = spell(value, depth)
    if (said === undefined) return undefined
    text += (NAMES.get(name) ?? spellName(name)) + said
  }
  return text + '}'
}

function spellName(name: string): string {
  const text = name.length + ':' + name
  if (NAMES.size < MOST_NAMES && name.length < DEEPEST) NAMES.set(name, text)
  return text
}
