import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { table } from './support/table'

const PAGE = join(__dirname, '../docs/failures.md')
const [START, END] = [
  '<!-- prettier-ignore-start: written by __test__/table.test.ts -->',
  '<!-- prettier-ignore-end -->',
]

test(
  'the table of faults in docs/failures.md is what happens (UPDATE_TABLE=1 writes it)',
  { timeout: 180_000 },
  async () => {
    const page = readFileSync(PAGE, 'utf8')
    const [before, rest] = page.split(`${START}\n`)
    const [documented, after] = rest!.split(`\n${END}`)
    const measured = await table()
    if (process.env['UPDATE_TABLE']) writeFileSync(PAGE, `${before}${START}\n${measured}\n${END}${after}`)
    expect(measured).toBe(process.env['UPDATE_TABLE'] ? measured : documented)
  },
)
