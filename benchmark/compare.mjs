// What the rounds of a contest say: medians, spreads, and how thryd compares; printed, and kept for the report.

import { record } from './records.mjs'

const micro = (value) => `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} us`
const milli = (value) => `${value.toFixed(value < 10 ? 2 : 1)} ms`
const whole = (value) => Math.round(value).toLocaleString('en')

/** What can be measured, by its name in a round: what it is called, per which unit, and how it is written. */
export const MEASURES = {
  rate: { title: (unit) => `${unit}s/s`, format: whole, isMoreBetter: true },
  cpu: { title: (unit) => `CPU per ${unit}`, format: micro },
  thread: { title: () => 'JS thread', format: micro },
  /** Microseconds by the clock, the inverse of the rate. */
  time: { title: (unit) => `time per ${unit}`, format: micro },
  added: { title: () => 'it adds', format: micro },
  p50: { title: () => 'p50', format: micro },
  p99: { title: () => 'p99', format: micro },
  milliseconds: { title: () => 'time', format: milli },
  stall: { title: () => 'loop stands still', format: milli },
  threadMs: { title: () => 'JS thread', format: milli },
  rss: { title: () => 'RSS', format: (value) => `${value.toFixed(1)} MiB` },
  peak: { title: () => 'RSS at most', format: (value) => `${value.toFixed(0)} MiB` },
  load: { title: () => 'import', format: milli },
  first: { title: () => 'first answer', format: milli },
  rssAnswered: { title: () => 'RSS then', format: (value) => `${value.toFixed(1)} MiB` },
  files: { title: () => 'files', format: (value) => `${value.toFixed(1)} MiB` },
  process: { title: () => 'whole process', format: milli },
  ratio: { title: () => 'worst stream', format: (value) => `${value.toFixed(2)}x` },
  late: { title: () => 'late by', format: milli },
  ninth: { title: () => 'nine of ten', format: milli },
  gap: { title: () => 'longest gap', format: milli },
  theirs: { title: () => "server's own", format: milli },
  copies: { title: () => 'times the prompt', format: (value) => value.toFixed(1) },
}

export function median(values) {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = sorted.length / 2
  return sorted.length % 2 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2
}

const summarise = (values) => ({ median: median(values), least: Math.min(...values), most: Math.max(...values) })

/**
 * Prints a contest, and keeps it.
 *
 * @param contest `{ title, unit, measures, entries }`: entries are `{ name, version, rounds }`, each round an object of
 *   numbers, or `{ name, version, missing }`, and why. The first that is not missing is thryd, to which all are compared:
 *   round by round, as what the machine does meanwhile met both.
 */
export function compare({ name, title, unit = 'time', measures, entries }) {
  for (const { rounds = [] } of entries) for (const round of rounds) if (round.rate > 0) round.time ??= 1e6 / round.rate
  const ours = entries.find(({ missing }) => !missing)
  if (!ours) throw new Error(`${title}: nobody could take part: ${entries.map(({ missing }) => missing)}`)
  const known = [...new Set(entries.flatMap(({ rounds = [] }) => rounds.flatMap((round) => Object.keys(round))))]
  const rows = entries.map(({ name: contestant, version, rounds, missing }) => {
    if (missing) return { contestant, version, missing: short(missing) }
    const of = (measure) => rounds.map((round) => round[measure]).filter((value) => Number.isFinite(value))
    const there = known.filter((measure) => of(measure).length > 0)
    const values = Object.fromEntries(there.map((measure) => [measure, summarise(of(measure))]))
    if (contestant === ours.name) return { contestant, version, values }
    const ratios = there.map((measure) => {
      const each = rounds.map((round, index) => ours.rounds[index]?.[measure] / round[measure])
      const finite = each.filter((ratio) => Number.isFinite(ratio))
      return finite.length > 0 ? [measure, summarise(finite)] : []
    })
    return { contestant, version, values, ratios: Object.fromEntries(ratios.filter(({ length }) => length > 0)) }
  })
  const rounds = Math.max(...entries.map((entry) => entry.rounds?.length ?? 0))
  const kept = { name: name ?? slug(title), title, unit, rounds, measures, rows }
  show(kept)
  record(kept)
  return kept
}

/** Why somebody does not take part, without the paths of this machine. */
function short(why) {
  const library = /version `(GLIBC_[\d.]+)' not found/.exec(why)
  if (library) return `it wants ${library[1].replace('_', ' ').toLowerCase()}, and this machine has an older one`
  return why.replace(/ imported from .*/, '').slice(0, 160)
}

/** What a contest is called in the results if nobody says: its title, short enough to be typed. */
function slug(title) {
  return title
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/-$/, '')
}

function show({ title, unit, measures, rows }) {
  const [first] = measures
  const head = ['', ...measures.flatMap((measure) => [MEASURES[measure].title(unit), 'thryd is']), 'least - most']
  const cells = rows.map(({ contestant, version, missing, values, ratios }) => {
    const name = [contestant, version].filter(Boolean).join(' ')
    if (missing) return [name, `not measured: ${missing}`]
    const each = measures.flatMap((measure) => {
      const { format } = MEASURES[measure]
      const ratio = ratios?.[measure]
      return [values[measure] ? format(values[measure].median) : '', ratio ? `${ratio.median.toFixed(2)}x` : '']
    })
    const { format } = MEASURES[first]
    return [name, ...each, `${format(values[first].least)} - ${format(values[first].most)}`]
  })
  write(title, [head, ...cells])
}

/** Prints a table that is no contest, and keeps it: a head, and rows of as many texts. */
export function print(title, rows) {
  record({ name: slug(title), title, table: rows })
  write(title, rows)
}

/** A table with a head; a row of two cells has only its name and a remark. */
function write(title, rows) {
  const full = rows.filter((row) => row.length === rows[0].length)
  const widths = rows[0].map((_, column) => Math.max(...full.map((row) => row[column].length), column ? 0 : 24))
  console.log(`\n${title}`)
  for (const row of rows) {
    const isRemark = row.length < rows[0].length
    const cells = row.map((cell, column) => {
      if (column === 0) return cell.padEnd(widths[0])
      return isRemark ? cell : cell.padStart(widths[column])
    })
    console.log(`  ${cells.join('  ')}`.trimEnd())
  }
}
