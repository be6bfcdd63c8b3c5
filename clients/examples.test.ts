import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { expect, test } from 'vitest'

const folder = join(import.meta.dirname, 'examples')
const list = readFileSync(join(import.meta.dirname, '../examples/README.md'), 'utf8')

/** Lines that each example has to print. */
const PRINTED: Record<string, string[]> = {
  'openai.mjs': [
    'three small words (cache: memory)',
    'it |comes |piece |by |piece|',
    'a response',
    '2 vectors of 8 numbers',
    'true 404',
  ],
  'ai-sdk.mjs': ['three |small |words|', 'the weather of Oslo is asked for', 'an umbrella to Oslo. (local::packer)'],
  'langchain.mjs': ['say three words', 'say |it |piece |by |piece|', '2 vectors of 8 numbers'],
}

test.each(readdirSync(folder))('%s runs offline, ends by itself, warns of nothing and is in the list', async (name) => {
  const { OPENAI_API_KEY: _key, OPENAI_BASE_URL: _url, ...env } = process.env
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(folder, name)], { env, timeout: 15_000 })
  expect(PRINTED[name]).toBeDefined()
  for (const line of PRINTED[name] ?? []) expect(stdout).toContain(line)
  expect(stderr).toBe('')
  expect(list).toContain(`node clients/examples/${name}`)
})
