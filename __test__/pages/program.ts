/**
 * The JavaScript and TypeScript of a page as one program. Each section (`##`) is a function, in which each block sees the names of
 * those before it and may use them for something new; what nobody before it has declared is taken from `world.mts`. The whole
 * is checked against the package's typings, and run.
 *
 * A line that ends in a comment which is a literal claims that this is the value: `tracker.remaining() // { requests: 59 }`,
 * `const wait = tracker.tryAcquire(800) // 0: reserved`.
 */

import type { Block } from './blocks.js'

/** Whether it is a piece of the page's program. */
export function isPiece({ language, file }: Block): boolean {
  return (language === 'js' || language === 'ts') && file === undefined
}

const IMPORT = /^import (?:type )?(?:\{[^}]*\}|[\w*, ]+) from '[^']+'.*\n/gm
const LITERAL = /^(?:-?\d[\d_.]*|'[^']*'|\[.*\]|\{.*\}|true|false|null|undefined)$/

/** The program of these pieces of one page. `known` are the names that the world has, which is the module `from`. */
export function program(pieces: Block[], known: string[], from = '../world.mts'): string {
  const imports = new Set<string>()
  const sections = new Map<string, string[]>()
  for (const { code, section, page, line } of pieces) {
    for (const [found] of code.matchAll(IMPORT)) for (const one of split(found)) imports.add(one)
    const body =
      `// ${page}:${line}\n` +
      claims(code, page, line)
        .replaceAll(IMPORT, '\n')
        .replaceAll(/^export /gm, '')
    sections.set(section, [...(sections.get(section) ?? []), body])
  }
  const parts = [...sections].map(([section, bodies], at) => {
    const text = bodies.join('')
    // A name that the page imports is the page's.
    const used = known.filter((name) => new RegExp(`(?<![\\w.'])${name}\\b`).test(text) && !isImported(imports, name))
    const nested = bodies.join('{\n') + '}'.repeat(bodies.length - 1)
    return `// ${section}\nasync function section_${at}() {\nconst { ${used.join(', ')} } = world()\n{\n${nested}\n}\n}\nawait section_${at}()\n`
  })
  const head = `import { claimed, finish, world } from '${from}'\n`
  return `${head}${[...imports].join('')}\n${parts.join('\n')}\nfinish()\n`
}

/** One import for each name, because pages repeat them. */
function split(statement: string): string[] {
  const [, names, from] = /^import \{([^}]*)\} from ('[^']+')/.exec(statement) ?? []
  if (names === undefined) return [statement]
  return names.split(',').map((name) => `import { ${name.trim()} } from ${from}\n`)
}

function isImported(imports: Set<string>, name: string): boolean {
  return [...imports].some((one) => new RegExp(`^import .*\\b${name}\\b.* from `).test(one))
}

/** The code, with what its comments claim held up against what is. */
function claims(code: string, page: string, line: number): string {
  const lines = code.split('\n').map((text, at) => {
    const [, indent, statement, comment] = /^(\s*)(.*\S) \/\/ (.*)$/.exec(text) ?? []
    if (statement === undefined || comment === undefined) return text
    const [, literal] = /^('[^']*'|[^:{[']+|[[{].*[\]}])(?:: .*)?$/.exec(comment) ?? []
    if (literal === undefined || !LITERAL.test(literal)) return text
    const place = `'${page}:${line + at}'`
    const [, name] = /^const (\w+) = /.exec(statement) ?? []
    if (name !== undefined) return `${indent}${statement}; claimed(${name}, ${literal}, ${place})`
    return `${indent}claimed(${statement}, ${literal}, ${place})`
  })
  return lines.join('\n')
}

/** How many claims a program makes. */
export function claimsIn(text: string): number {
  return text.match(/\bclaimed\(/g)?.length ?? 0
}
