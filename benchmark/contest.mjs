// Contestants take turns, round by round (A/B/A/B), so that what the machine does meanwhile meets them all.

export const ROUNDS = 5
const ROUND_MS = 800
const WARM_UP_MS = 300

/**
 * Runs every contestant for the same time, again and again, and prints medians.
 *
 * @param contestants `{ name, run(isOver) }`, the first one is thryd; `run` works until `isOver()` and gives the number of
 *   things done. With `over`, another contestant, it also says how much more CPU it needs than that one. Or
 *   `{ name, missing }`: why it does not take part.
 */
export async function contest(title, unit, contestants) {
  const able = contestants.filter((contestant) => !contestant.missing)
  const rounds = new Map(able.map((contestant) => [contestant, []]))
  for (const contestant of able) await measure(contestant, WARM_UP_MS)
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const contestant of able) rounds.get(contestant).push(await measure(contestant, ROUND_MS))
  }
  const results = new Map(able.map((contestant) => [contestant, summarise(rounds.get(contestant))]))
  const ours = results.get(able[0])
  const hasAdded = able.some(({ over }) => over)
  const added = ({ over }, { cpu }) => (results.has(over) ? `${(cpu - results.get(over).cpu).toFixed(2)} us` : '')
  const rows = contestants.map((contestant) => {
    if (contestant.missing) return [contestant.name, `not measured: ${contestant.missing}`]
    const own = results.get(contestant)
    const isOther = own !== ours
    return [
      contestant.name,
      number(own.rate),
      `${own.cpu.toFixed(2)} us`,
      ...(hasThread ? [`${own.thread.toFixed(2)} us`, isOther ? `${(ours.thread / own.thread).toFixed(2)}x` : ''] : []),
      ...(hasAdded ? [added(contestant, own)] : []),
      spread(own),
      isOther ? `${(ours.rate / own.rate).toFixed(2)}x` : '',
    ]
  })
  const addedTitle = hasAdded ? ['cache adds'] : []
  const threadTitle = hasThread ? ['JS thread', 'thryd needs'] : []
  const head = ['', `${unit}/s`, `CPU per ${unit}`, ...threadTitle, ...addedTitle, 'least - most', 'thryd is']
  print(title, [head, ...rows])
}

/** Node 22 does not tell what a single thread used. */
const hasThread = typeof process.threadCpuUsage === 'function'

async function measure({ run }, milliseconds) {
  const [cpu, thread, started] = [process.cpuUsage(), hasThread ? process.threadCpuUsage() : {}, performance.now()]
  const done = await run(() => performance.now() - started >= milliseconds)
  const seconds = (performance.now() - started) / 1000
  const all = (used) => (used.user + used.system) / done
  const onThread = hasThread ? all(process.threadCpuUsage(thread)) : 0
  return { rate: done / seconds, cpu: all(process.cpuUsage(cpu)), thread: onThread }
}

function summarise(rounds) {
  const rates = rounds.map(({ rate }) => rate).toSorted((left, right) => left - right)
  const [cpu, thread] = ['cpu', 'thread'].map((name) => median(rounds.map((round) => round[name])))
  return { rate: median(rates), cpu, thread, least: rates[0], most: rates.at(-1) }
}

export function median(values) {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = sorted.length / 2
  return sorted.length % 2 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2
}

function spread({ least, most }) {
  return `${number(least)} - ${number(most)}`
}

function number(value) {
  return Math.round(value).toLocaleString('en')
}

/** A table with a head; a row of two cells has only its name and a remark. */
export function print(title, rows) {
  const widths = rows[0].map((_, column) =>
    Math.max(...rows.filter((row) => row.length === rows[0].length).map((row) => row[column].length), column ? 0 : 24),
  )
  console.log(`\n${title}`)
  for (const row of rows) {
    if (row.length < rows[0].length) console.log(`  ${row[0].padEnd(widths[0])}  ${row[1]}`)
    else
      console.log(
        `  ${row.map((cell, column) => (column ? cell.padStart(widths[column]) : cell.padEnd(widths[column]))).join('  ')}`.trimEnd(),
      )
  }
}
