import type { Spoken } from '../../js/spelling'

/** Reads what `js/spelling.ts` writes, or JSON. */
export function unspelled(spoken: Spoken): unknown {
  const [text = '', ...long] = typeof spoken === 'string' ? [spoken] : spoken
  if (!text.startsWith('*')) return JSON.parse(text)
  let at = 1
  const until = (end: string): string => {
    const start = at
    at = text.indexOf(end, start) + 1
    return text.slice(start, at - 1)
  }
  const string = (): string => {
    const length = Number(until(':'))
    at += length
    return text.slice(at - length, at)
  }
  const value = (): unknown => {
    const kind = text[at++]
    switch (kind) {
      case '"':
        return string()
      case 'L':
        return long.shift() ?? expectedLong()
      case '#':
        return Number(until(';'))
      case 't':
      case 'f':
        return kind === 't'
      case 'n':
        return null
      case '[': {
        const items = []
        while (text[at] !== ']') items.push(value())
        at += 1
        return items
      }
      case '{': {
        const fields: [string, unknown][] = []
        while (text[at] !== '}') fields.push([string(), value()])
        at += 1
        return Object.fromEntries(fields)
      }
      default:
        throw new Error(`not spelled well at ${at}: ${text}`)
    }
  }
  const whole = value()
  if (at !== text.length || long.length > 0) throw new Error(`more than one value: ${text}`)
  return whole
}

function expectedLong(): never {
  throw new Error('a long string is missing')
}
