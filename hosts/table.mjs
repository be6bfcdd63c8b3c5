// The table of docs/hosts.md. Its rows are told apart by host and by what was run. Rows from elsewhere come in as JSON:
//
//   node hosts/table.mjs < rows.json      [{ "host": "Alpine", "version": "3.22", "what": "CommonJS", "result": "works" }]
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const FILE = join(import.meta.dirname, '../docs/hosts.md')
const START = '<!-- The table is written by hosts/table.mjs. -->\n<!-- prettier-ignore-start -->\n'
const END = '<!-- prettier-ignore-end -->'
const FIELDS = ['host', 'version', 'what', 'result']

const keyOf = ({ host, what }) => `${host}: ${what}`

export function readRows() {
  return parts().rows
}

function parts() {
  const text = readFileSync(FILE, 'utf8')
  const start = text.indexOf(START)
  const end = text.indexOf(END, start)
  if (start < 0 || end < 0) throw new Error('docs/hosts.md has no place for the table')
  const lines = text
    .slice(start + START.length, end)
    .split('\n')
    .filter(Boolean)
    .slice(2)
  const rows = lines.map((line) => {
    const cells = line
      .slice(1, -1)
      .split(' | ')
      .map((cell) => cell.trim().replaceAll('\\|', '|'))
    return Object.fromEntries(FIELDS.map((field, place) => [field, cells[place] ?? '']))
  })
  return { before: text.slice(0, start), rows, after: text.slice(end) }
}

/** Puts rows in the places of those that they are newer than, and others behind those of the same host, or at the end. */
export function writeRows(found) {
  const { before, rows, after } = parts()
  for (const row of found) {
    const place = rows.findIndex((other) => keyOf(other) === keyOf(row))
    const last = rows.findLastIndex(({ host }) => host === row.host)
    if (place >= 0) rows[place] = row
    else rows.splice(last < 0 ? rows.length : last + 1, 0, row)
  }
  const cell = (text) =>
    String(text ?? '')
      .replaceAll('\n', ' ')
      .replaceAll('|', '\\|')
  const line = (row) => `| ${FIELDS.map((field) => cell(row[field])).join(' | ')} |`
  const table = ['| host | version | what was run | result |', '|---|---|---|---|', ...rows.map(line)].join('\n')
  writeFileSync(FILE, `${before}${START}${table}\n${after}`)
}

/** Where what was found is not what the table says; a version may differ, and what was not run now says nothing. */
export function compareRows(found) {
  const known = new Map(readRows().map((row) => [keyOf(row), row]))
  const ran = found.filter(({ result }) => !result.startsWith('not run'))
  return ran.flatMap((row) => {
    const expected = known.get(keyOf(row))?.result
    if (expected === row.result || (expected?.startsWith('not run') && !row.result.startsWith('fails'))) return []
    // What stands behind the "but" need not come every time.
    if (row.result === 'works' && expected?.startsWith('works, but ')) return []
    return [`${keyOf(row)}\n  the table: ${expected ?? 'has no such row'}\n  now:       ${row.result}`]
  })
}

/** Rows of the table that a full run no longer has, of hosts that are in it; others come from elsewhere. */
export function leftRows(found) {
  const [hosts, keys] = [new Set(found.map(({ host }) => host)), new Set(found.map(keyOf))]
  const left = readRows().filter((row) => hosts.has(row.host) && !keys.has(keyOf(row)))
  return left.map((row) => `${keyOf(row)}\n  the table: ${row.result}\n  now:       is not run any more`)
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) writeRows(JSON.parse(readFileSync(0, 'utf8')))
