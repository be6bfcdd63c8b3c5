/** The table of clients and features: what the tests saw, and what the page says. */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Client } from './client'

const PAGE = join(__dirname, '../docs/clients.md')
const [START, END] = [
  '<!-- prettier-ignore-start: written by clients/clients.test.ts -->',
  '<!-- prettier-ignore-end -->',
]

const line = (cells: string[]): string => `| ${cells.join(' | ')} |`

/** Filled by the tests. */
export class Table {
  readonly #clients: Client[]
  readonly #rows = new Map<string, Map<string, string>>()

  constructor(clients: Client[]) {
    this.#clients = clients
  }

  /** What a client gave for a feature; all that it gave, if that is not always the same. */
  set(feature: string, client: Client, cell: string): void {
    const row = this.#rows.get(feature) ?? new Map<string, string>()
    const other = row.get(client.name)
    this.#rows.set(feature, row.set(client.name, other === undefined || other === cell ? cell : `${other}, ${cell}`))
  }

  /** Beside the page, which is written first if UPDATE_TABLE=1. A feature that failed has no cell, so that it is seen here too. */
  compare(): { measured: string; documented: string | undefined } {
    const measured = this.#markdown()
    const page = readFileSync(PAGE, 'utf8')
    const [before, rest] = page.split(`${START}\n`)
    const [documented, after] = (rest ?? '').split(`\n${END}`)
    if (!process.env['UPDATE_TABLE']) return { measured, documented }
    writeFileSync(PAGE, `${before}${START}\n${measured}\n${END}${after}`)
    return { measured, documented: measured }
  }

  #markdown(): string {
    const heads = this.#clients.map((client) => `${client.name}: ${client.packages}`)
    const rows = [...this.#rows].map(([feature, cells]) =>
      line([feature, ...this.#clients.map(({ name }) => cells.get(name) ?? '**fails**')]),
    )
    return [line(['', ...heads]), `|${'---|'.repeat(this.#clients.length + 1)}`, ...rows].join('\n')
  }
}
