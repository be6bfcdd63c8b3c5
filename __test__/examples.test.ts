import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** Runs a script as a user would, with no key in the environment; rejects unless it ends well, by itself. */
async function run(path: string): Promise<string> {
  const { OPENAI_API_KEY: _key, OPENAI_BASE_URL: _url, ...env } = process.env
  const { stdout } = await promisify(execFile)(process.execPath, [path], { cwd: root, env, timeout: 30_000 })
  return stdout
}

describe('the examples', () => {
  const names = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.mjs'))

  test.each(names)('%s runs offline and ends by itself', async (name) => {
    expect(await run(`examples/${name}`)).not.toBe('')
  })

  test.each(names)('%s is in the list of examples', (name) => {
    expect(read('examples/README.md')).toContain(`node examples/${name}`)
  })

  test('the demo ends within 30 s, says who answered, and its output has no control characters when piped', async () => {
    const output = await run('examples/demo/demo.mjs')
    expect(output).toContain('Each of the 600 answers belongs to its question.')
    expect(output).toMatch(/^local::shaky .*\n(.*\n)*.*local::shaky: transient \(503\)$/m)
    // oxlint-disable-next-line no-control-regex
    expect(output).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/)
  }, 40_000)
})

describe('the readme', () => {
  test('begins with the quick start that the examples compile', () => {
    const [, code] = /```ts\n([^]*?)```/.exec(read('README.md')) ?? []
    expect(code).toBe(read('examples/quick-start.mts'))
  })

  test('compiles as a program of its own under strict settings', async () => {
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const settings = ['--strict', '--exactOptionalPropertyTypes', '--target', 'es2022', '--types', 'node']
    const file = ['--ignoreConfig', '--noEmit', '--module', 'nodenext', 'examples/quick-start.mts']
    await expect(
      promisify(execFile)(process.execPath, [tsc, ...settings, ...file], { cwd: root }),
    ).resolves.toBeDefined()
  })

  test('shows the Rust that the examples run', () => {
    const [, code] = /```rust\n([^]*?)```/.exec(read('README.md')) ?? []
    expect(
      read('examples/chat.rs')
        .replace(/^\/\/!.*\n/gm, '')
        .trimStart(),
    ).toBe(code)
  })
})
