import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { run } from './support/run'

const root = join(import.meta.dirname, '..')

describe('the package', () => {
  test.each([
    ['thryd', 'index.d.ts'],
    ['thryd/fetch', 'fetch.d.ts'],
    ['thryd/testing', 'testing.d.ts'],
  ])('exports from %s the values that its typings declare, and no others', (name, file) => {
    const typings = readFileSync(join(root, file), 'utf8')
    const declared = [...typings.matchAll(/^export declare (?:abstract class|class|function|const) (\w+)/gm)].map(
      ([, declaration]) => declaration,
    )
    const exported = Object.keys(createRequire(import.meta.url)(name) as object)
    expect(exported.toSorted()).toEqual(declared.toSorted())
    expect(exported.length).toBeGreaterThan(0)
  })

  test('gives named imports, and the same classes to import and require', () => {
    const source = `
      import * as imported from 'thryd'
      import { CompletionRouter, ThrydError } from 'thryd'
      import { createRequire } from 'node:module'
      const required = createRequire(import.meta.url)('thryd')
      const names = Object.keys(required)
      console.log(JSON.stringify({
        named: names.every((name) => name in imported),
        same: CompletionRouter === required.CompletionRouter && ThrydError === required.ThrydError,
      }))`
    expect(run(source)).toEqual({ named: true, same: true })
  })

  test('does not keep the process alive', () => {
    expect(run(`import { CompletionRouter } from 'thryd'; new CompletionRouter(); console.log('true')`)).toBe(true)
  })
})
