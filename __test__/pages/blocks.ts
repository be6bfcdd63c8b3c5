/**
 * The pages and their fenced blocks. What is done with a block is said by its language, and by its first line:
 *
 * | block | |
 * |---|---|
 * | `ts`, `js` | a piece of a program: `program.ts` |
 * | `ts`, `tsx`, `js`, `mjs`, `json`, `dockerfile` that begins with a comment which is a path (`// app/route.ts`) | that file, beside the page's others |
 * | `json` | JSON |
 * | `sh` | commands that exist |
 * | `rust` | compiled by Cargo: `examples/chat.rs`, or a doctest of `src/lib.rs` |
 * | `text` | to be read, and nothing else |
 */

import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** The clone. */
export const root = join(import.meta.dirname, '../..')

/** A fenced block of a page. */
export interface Block {
  page: string
  /** Of its first line of code. */
  line: number
  /** The last heading of the second level before it. */
  section: string
  language: string
  code: string
  /** The file that it is. */
  file?: string
}

/** What of the clone is written for its users, from its root. */
export const PAGES = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'examples/README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

/** The text of a page. */
export function read(page: string): string {
  return readFileSync(join(root, page), 'utf8')
}

/** The blocks of a page, in their order. */
export function blocksOf(page: string): Block[] {
  const blocks: Block[] = []
  let section = ''
  let open: Block | undefined
  for (const [at, text] of read(page).split('\n').entries()) {
    const fence = /^```(.*)$/.exec(text)
    if (open !== undefined && fence !== null) {
      const file = /^(?:\/\/|#) ([\w./[\]-]+\.\w+|Dockerfile)$/.exec(open.code.split('\n', 1)[0] ?? '')?.[1]
      blocks.push(file === undefined ? open : { ...open, file })
      open = undefined
    } else if (open !== undefined) open.code += `${text}\n`
    else if (fence !== null) open = { page, line: at + 2, section, language: fence[1] ?? '', code: '' }
    else section = /^## (.*)$/.exec(text)?.[1] ?? section
  }
  if (open !== undefined) throw new Error(`${page}: the block of line ${open.line} has no end`)
  return blocks
}
