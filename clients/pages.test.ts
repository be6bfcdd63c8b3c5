/** The pages that show the SDKs: compiled with their typings, and run. */

import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { expect, test } from 'vitest'

import { blocksOf, root } from '../__test__/pages/blocks.js'
import { isPiece, program } from '../__test__/pages/program.js'

const pages = ['docs/clients.md', 'docs/fetch.md']

/** Routers without a network, in the names that the pages take for granted. */
const WORLD = `
import { CompletionRouter, EmbeddingRouter, RerankRouter, ResponsesRouter } from 'thryd'
import { toFetch } from 'thryd/fetch'
import OpenAI from 'openai'
import { isDeepStrictEqual } from 'node:util'

export function world() {
  const options = { providers: [{ type: 'dummy' as const }], groups: { default: { deployments: ['dummy::echo'] } } }
  const completion = new CompletionRouter(options)
  const responses = new ResponsesRouter(options)
  const embedding = new EmbeddingRouter(options)
  const rerank = new RerankRouter(options)
  return { completion, responses, embedding, rerank, handler: toFetch({ completion }), OpenAI }
}
export function claimed(actual: unknown, expected: unknown, place: string): void {
  if (!isDeepStrictEqual(actual, expected)) throw new Error(place)
}
export function finish(): void {
  process.exit(0)
}
`

test.each(pages)('%s compiles with the SDKs, and runs', async (page) => {
  // Inside of this folder, where the SDKs are found.
  const folder = mkdtempSync(join(import.meta.dirname, '.pages-'))
  try {
    writeFileSync(join(folder, 'world.mts'), WORLD)
    const known = ['completion', 'responses', 'embedding', 'rerank', 'handler', 'OpenAI']
    writeFileSync(join(folder, 'program.mts'), program(blocksOf(page).filter(isPiece), known, './world.mts'))
    const run = promisify(execFile)
    const settings =
      '--ignoreConfig --noEmit --strict --noImplicitAny false --skipLibCheck --types node --target es2023 --lib esnext,dom'
    const tsc = [join(root, 'node_modules/typescript/bin/tsc'), ...settings.split(' '), '--module', 'nodenext']
    const compiled = run(process.execPath, [...tsc, '--allowImportingTsExtensions', 'program.mts'], { cwd: folder })
    expect((await compiled.catch((error: { stdout: string }) => error)).stdout).toBe('')
    expect((await run(process.execPath, ['program.mts'], { cwd: folder })).stderr).toBe('')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
