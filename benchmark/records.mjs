// What was measured goes to whoever runs the whole (run.mjs), which says where by this variable; without it, nowhere.

import { appendFileSync, readFileSync } from 'node:fs'

export const RECORDS = 'THRYD_BENCHMARK_RECORDS'

/** Keeps a contest (compare.mjs), or a curve: `{ name, curve: [...] }`. */
export function record(contest) {
  const path = process.env[RECORDS]
  if (path) appendFileSync(path, `${JSON.stringify(contest)}\n`)
}

/** All that was kept there. */
export function recorded(path) {
  const lines = readFileSync(path, 'utf8').split('\n')
  return lines.filter((line) => line.length > 0).map((line) => JSON.parse(line))
}
