/** The table of servers and claims: what the tests saw, and what the page says. One column is measured at a time. */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const PAGE = join(import.meta.dirname, '../docs/servers.md')
const [START, END] = [
  '<!-- prettier-ignore-start: written by servers/servers.test.ts -->',
  '<!-- prettier-ignore-end -->',
]

/** What stands where a server is not asked. */
const NOTHING = ''

const line = (cells: string[]): string => `| ${cells.join(' | ')} |`

/** The cells by row and column. */
type Cells = Map<string, Map<string, string>>

export class Table {
  readonly #measured = new Map<string, string>()

  /** @param titles - of all columns, in their order; @param rows - of all of them, in their order */
  constructor(
    readonly titles: string[],
    readonly rows: string[],
  ) {}

  set(row: string, cell: string): void {
    this.#measured.set(row, cell)
  }

  /**
   * A column beside what the page says of it, which is written first if UPDATE_TABLE=1. A claim that failed has no cell, so that
   * it is seen here too.
   */
  compare(title: string, heading: string): { measured: string[]; documented: string[] } {
    const page = readFileSync(PAGE, 'utf8')
    const [before = '', rest = ''] = page.split(`${START}\n`)
    const [table = '', after = ''] = rest.split(`\n${END}`)
    const { heads, cells } = this.#read(table)
    const measured = [heading, ...this.rows.map((row) => this.#measured.get(row) ?? NOTHING)]
    const documented = [heads.get(title) ?? '', ...this.rows.map((row) => cells.get(row)?.get(title) ?? NOTHING)]
    if (!process.env['UPDATE_TABLE']) return { measured, documented }
    heads.set(title, heading)
    const written = [
      line(['', ...this.titles.map((each) => heads.get(each) ?? each)]),
      `|${'---|'.repeat(this.titles.length + 1)}`,
      ...this.rows.map((row) =>
        line([
          row,
          ...this.titles.map(
            (each) => (each === title ? this.#measured.get(row) : cells.get(row)?.get(each)) ?? NOTHING,
          ),
        ]),
      ),
    ]
    writeFileSync(PAGE, `${before}${START}\n${written.join('\n')}\n${END}${after}`)
    return { measured, documented: measured }
  }

  #read(table: string): { heads: Map<string, string>; cells: Cells } {
    const [head = [], , ...rows] = table.split('\n').map((text) =>
      text
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
    const titles = head.slice(1).map((heading) => this.titles.find((title) => heading.startsWith(title)) ?? heading)
    const cells: Cells = new Map(
      rows.map(([row = '', ...values]) => [row, new Map(values.map((value, place) => [titles[place] ?? '', value]))]),
    )
    return { heads: new Map(titles.map((title, place) => [title, head[place + 1] ?? ''])), cells }
  }
}
