// Puts what results.json says between the markers of the pages, `<!-- results: ... -->` and `<!-- end of results -->`, and
// draws the plots of docs/plots. It measures nothing: the same results give the same pages.
//
//   node benchmark/report.mjs

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { MEASURES } from './compare.mjs'
import { plot } from './plot.mjs'

const ROOT = join(import.meta.dirname, '..')
const PAGES = ['docs/performance.md', 'README.md']
const PLOTS = join(ROOT, 'docs/plots')

const path = join(import.meta.dirname, 'results.json')
if (!existsSync(path)) throw new Error('there is no benchmark/results.json: node benchmark/run.mjs makes it')
const results = JSON.parse(readFileSync(path, 'utf8'))
const { contests, parts } = results

const number = (value, digits = 1) =>
  value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits })
const table = (head, rows) =>
  [head, head.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell || ' ').join(' | ')} |`)
    .join('\n')
const command = (name) => `\`${parts[contests[name].part].command}\``

function valueOf(measure, values, ratios) {
  if (!values[measure]) return ''
  const ratio = ratios?.[measure]?.median
  const text = MEASURES[measure].format(values[measure].median)
  // Of nearly nothing, everything is a multiple.
  return ratio < 1000 && ratio >= 0.005 ? `${text} (${number(ratio, ratio < 10 ? 2 : 0)})` : text
}

function spreadOf(measure, values) {
  if (!values[measure]) return ''
  const { format } = MEASURES[measure]
  return `${format(values[measure].least)} to ${format(values[measure].most)}`
}

const medians = (points) => points.map(({ median }) => number(median, median < 100 ? 1 : 0))

function time(nanoseconds) {
  if (nanoseconds < 1000) return `${number(nanoseconds)} ns`
  return nanoseconds < 1e6 ? `${number(nanoseconds / 1000)} us` : `${number(nanoseconds / 1e6)} ms`
}

/** What a marker can ask for. */
const KINDS = {
  machine() {
    const { cpu, cores, memoryGiB, system, node, rust, commit, addon } = results.machine
    const loads = Object.values(parts).flatMap(({ load }) => load)
    const [least, most] = [Math.min(...loads), Math.max(...loads)]
    const days = Object.values(parts)
      .map(({ at }) => at.slice(0, 10))
      .toSorted()
    const minutes = Object.values(parts).reduce((sum, { seconds }) => sum + seconds, 0) / 60
    const others = [...new Set(Object.values(parts).map((part) => part.commit))].filter((at) => at !== commit)
    const namesAt = (at) => Object.keys(parts).filter((name) => parts[name].commit === at)
    const older = others.map((at) => `${namesAt(at).join(', ')} (${at})`)
    const peers = Object.entries(results.versions).filter(([name]) => !['thryd', 'fetch'].includes(name))
    return [
      `thryd ${results.thryd} (${commit}; ${addon}), Node ${node.slice(1)}, ${rust.split(' (')[0]}, on ${days.at(-1)}: ${cpu}, ${cores} cores, ${memoryGiB} GiB, ${system}.`,
      `The load was between ${least} and ${most}, thryd's own included; all parts took ${number(minutes, 0)} minutes.`,
      ...(older.length > 0 ? [`Parts that were measured at other commits: ${older.join('; ')}.`] : []),
      `Peers: ${peers.map(([name, version]) => `${name} ${version}`).join(', ')}.`,
    ].join(' ')
  },

  /** What was wanted, and what came of it. */
  wanted() {
    const rows = results.wanted.map((row) => {
      const { work, against, wanted, reached, spread, is, why } = row
      const mark = is === 'reached' ? 'yes' : is === undefined ? `not measured: ${why}` : '**no**'
      return [
        work,
        against ?? '',
        wanted,
        reached ? `${reached} (${spread})` : '',
        mark,
        row.command ? `\`${row.command}\`` : '',
      ]
    })
    return table(['work', 'against', 'wanted', 'measured', 'reached', 'command'], rows)
  },

  /** Of that, what was reached against others. */
  reached() {
    const rows = results.wanted.filter(({ is, against }) => is === 'reached' && against)
    return table(
      ['', 'against', 'thryd is', 'measured by'],
      rows.map((row) => [row.work, row.against, row.reached, `\`${row.command}\``]),
    )
  },

  contest(key) {
    const { unit, measures, rows } = contests[key]
    const [first] = measures
    const cells = []
    for (const { contestant, version, missing, values, ratios } of rows) {
      const own = [contestant, version && !contestant.includes(version) ? version : ''].filter(Boolean).join(' ')
      const each = missing
        ? [`not measured: ${missing}`].concat(measures.map(() => ''))
        : measures.map((measure) => valueOf(measure, values, ratios)).concat(spreadOf(first, values))
      cells.push([own].concat(each))
    }
    const head = [''].concat(measures.map((measure) => MEASURES[measure].title(unit))).concat('spread')
    return `${table(head, cells)}\n\nIn brackets: thryd's divided by theirs. ${command(key)}`
  },

  profile(name) {
    const { micros, steps } = contests[name]
    const rows = steps.map((step) => [step.name, number(step.micros), `${number(step.share * 100, 0)} %`])
    return `${table(['', 'us', ''], [...rows, ['**a call**', `**${number(micros)}**`, '']])}\n\n${command(name)}`
  },

  curve(name) {
    const { title, x, y, series } = contests[name]
    writeFileSync(join(PLOTS, `${name}.svg`), plot(contests[name]))
    const places = series[0].points.map((point) => point.x)
    const rows = series.map((one) => [one.name].concat(medians(one.points)))
    const head = [`${y}, by ${x}`, ...places.map((place) => place.toLocaleString('en'))]
    return `![${title}](plots/${name}.svg)\n\n${table(head, rows)}\n\n${command(name)}`
  },

  table(key) {
    const [head, ...rows] = contests[key].table
    return `${table(head, rows)}\n\n${command(key)}`
  },

  times(key) {
    const rows = contests[key].nanoseconds.map(({ name, median, least, most }) => {
      return [name, time(median), `${time(least)} to ${time(most)}`]
    })
    return `${table(['', 'median', 'spread'], rows)}\n\n${command(key)}`
  },
}

function fill(asked) {
  const [kind, name] = asked.split(' ')
  if (!(kind in KINDS)) throw new Error(`no results of kind ${kind}; there are: ${Object.keys(KINDS).join(', ')}`)
  if (name && !contests[name]) return `Not measured in this run: ${name}.`
  return KINDS[kind](name)
}

rmSync(PLOTS, { recursive: true, force: true })
mkdirSync(PLOTS, { recursive: true })
const MARKER = /<!-- results: (.*?) -->\n[\s\S]*?<!-- end of results -->/g
for (const page of PAGES) {
  const text = readFileSync(join(ROOT, page), 'utf8')
  const filled = text.replaceAll(
    MARKER,
    (_, asked) => `<!-- results: ${asked} -->\n\n${fill(asked)}\n\n<!-- end of results -->`,
  )
  writeFileSync(join(ROOT, page), filled)
}
