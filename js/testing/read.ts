/** Reads options: each by name, type and range; what is wrong is said with the field, what was expected, and what came. */

import { inspect } from 'node:util'

/** The object's fields, if it has none but these. `null` is absent. */
export function fields<Name extends string>(
  path: string,
  value: unknown,
  known: readonly Name[],
): Partial<Record<Name, unknown>> {
  if (value === undefined || value === null) return {}
  if (typeof value !== 'object' || Array.isArray(value)) throw wrong(path, 'an object', value)
  const present = Object.entries(value).filter(([, field]) => field !== undefined && field !== null)
  for (const [name] of present) {
    if (known.includes(name as Name)) continue
    throw new TypeError(`${path}.${name}: expected one of the options ${known.join(', ')}, got an unknown name`)
  }
  return Object.fromEntries(present) as Partial<Record<Name, unknown>>
}

/** A number from `low` to `high`, if it is there. */
export function number(path: string, value: unknown, low: number, high = Infinity): number | undefined {
  return inRange(path, value, low, high, 'a number', Number.isFinite)
}

/** The same, and whole. */
export function integer(path: string, value: unknown, low: number, high = Infinity): number | undefined {
  return inRange(path, value, low, high, 'an integer', Number.isSafeInteger)
}

/** A number of milliseconds, or the bounds between which it is drawn. */
export function bounds(path: string, value: unknown): readonly [number, number] | undefined {
  if (!Array.isArray(value)) {
    const both = number(path, value, 0)
    return both === undefined ? undefined : [both, both]
  }
  const [low, high] = value.map((bound, place) => number(`${path}[${place}]`, bound, 0))
  if (low === undefined || high === undefined || value.length !== 2) {
    throw wrong(path, 'a number or [min, max]', value)
  }
  if (low > high) throw outside(path, '[min, max] with min not above max', value)
  return [low, high]
}

/** A string, if it is there. */
export function string(path: string, value: unknown): string | undefined {
  if (value === undefined || typeof value === 'string') return value
  throw wrong(path, 'a string', value)
}

/** A string that is not empty, which has to be there. */
export function filled(path: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw wrong(path, 'a string that is not empty', value)
}

/** The JSON of a value that has one. */
export function json(path: string, value: unknown): string {
  try {
    const text = JSON.stringify(value) as string | undefined
    if (text !== undefined) return text
  } catch {
    // A cycle, or a number that JSON cannot say.
  }
  throw wrong(path, 'a value that JSON can hold', value)
}

/** The error for a value of the wrong type or form. */
export function wrong(path: string, expected: string, value: unknown): TypeError {
  return new TypeError(`${path}: expected ${expected}, got ${shown(value)}`)
}

/** The error for a value out of its range. */
export function outside(path: string, expected: string, value: unknown): RangeError {
  return new RangeError(`${path}: expected ${expected}, got ${shown(value)}`)
}

function inRange(
  path: string,
  value: unknown,
  low: number,
  high: number,
  kind: string,
  isKind: (value: unknown) => boolean,
): number | undefined {
  if (value === undefined) return undefined
  const expected = `${kind} ${high === Infinity ? `of at least ${low}` : `from ${low} to ${high}`}`
  if (typeof value !== 'number') throw wrong(path, expected, value)
  if (!isKind(value) || value < low || value > high) throw outside(path, expected, value)
  return value
}

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : inspect(value, { depth: 0, breakLength: Infinity })
}
