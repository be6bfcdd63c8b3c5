/** No page shows what does not compile, does not run or is not so. */

import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { ASKED, ELSEWHERE, NOT_RUN, TESTED } from './asked.js'
import { PAGES, blocksOf, root } from './blocks.js'
import { commands, exists, instructions } from './commands.js'
import { claimsIn, isPiece } from './program.js'
import { Project } from './project.js'

const blocks = PAGES.flatMap(blocksOf)
const here = blocks.filter(({ page }) => !(page in ELSEWHERE))
const files = here.flatMap(({ page, file }) => (file === undefined ? [] : [{ page, file }]))
const programs = PAGES.filter((page) => here.some((block) => block.page === page && isPiece(block)))
const project = new Project(here)

beforeAll(async () => await project.start())
afterAll(async () => await project.close())

describe('the JavaScript and TypeScript of the pages', () => {
  test('compiles with the typings of the package', async () => {
    expect(await project.compile()).toBe('')
  })

  test.concurrent.each(programs)('%s runs, and what it claims is so', async (page) => {
    expect(await project.node(page, ['program.mts'])).toBe('')
  })

  test('claims something, so that claims are read', () => {
    const texts = programs.map((page) => readFileSync(project.path(page, 'program.mts'), 'utf8'))
    expect(texts.map(claimsIn).reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(5)
  })
})

describe('the files of the pages', () => {
  test.concurrent.each(Object.keys(ASKED))('%s: do what they are there for', async (page) => {
    expect(await project.node(page, ['--input-type=module', '--eval', ASKED[page]?.program ?? ''])).toBe('')
  })

  test.each(Object.keys(TESTED))(
    '%s: record, and replay without a key and a network',
    async (page) => {
      const vitest = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--root', '.']
      const { HTTPS_PROXY: _proxy, OPENAI_API_KEY: _key, ...replaying } = project.env
      await expect(project.node(page, vitest, replaying)).rejects.toThrow('not in the cache')
      for (const pool of ['forks', 'threads']) {
        rmSync(project.path(page, 'test/city.jsonl'), { force: true })
        const all = [...vitest, '--pool', pool]
        expect(await project.node(page, all, { ...project.env, RECORD: '1' })).toBe('')
        expect(await project.node(page, all, replaying)).toBe('')
      }
    },
    60_000,
  )

  test('are run, or it is said why not', () => {
    const run = [
      ...Object.entries(ASKED).map(([page, asked]) => [page, asked.files] as const),
      ...Object.entries(TESTED),
    ]
    const known = [...run.flatMap(([page, own]) => own.map((file) => `${page} ${file}`)), ...Object.keys(NOT_RUN)]
    expect(files.map(({ page, file }) => `${page} ${file}`).toSorted()).toEqual(known.toSorted())
    expect(Object.keys(ELSEWHERE).filter((page) => !PAGES.includes(page))).toEqual([])
  })
})

describe('a block', () => {
  const of = (language: string): typeof blocks => blocks.filter((block) => block.language === language)
  const known = new Set(files.map(({ file }) => file))

  test('is in a language that is looked at', () => {
    const languages = new Set(['dockerfile', 'js', 'json', 'rust', 'sh', 'text', 'ts'])
    const others = blocks.filter(({ language }) => !languages.has(language))
    expect(others.map(({ page, line, language }) => `${page}:${line} ${language}`)).toEqual([])
  })

  test.each(of('json'))('of JSON is JSON: $page:$line', ({ code }) => {
    expect(() => JSON.parse(code.replace(/^\/\/.*\n/, '')) as unknown).not.toThrow()
  })

  test.each(of('sh'))('of commands has none that is not there: $page:$line', ({ code }) => {
    expect(commands(code).filter((command) => !exists(command, known))).toEqual([])
  })

  test.each(of('dockerfile'))('of Docker has its instructions: $page:$line', ({ code }) => {
    const unknown = (line: string): boolean => !/^(FROM|WORKDIR|COPY|RUN|ENV|USER|CMD) \S/.test(line)
    expect(instructions(code).filter(unknown)).toEqual([])
    const run = instructions(code).filter((line) => line.startsWith('RUN '))
    const typed = run.flatMap((line) => commands(line.slice('RUN '.length)))
    expect(typed.filter((command) => !exists(command, known))).toEqual([])
  })

  test('of Rust is compiled by Cargo', () => {
    const library = readFileSync(join(root, 'src/lib.rs'), 'utf8')
    // The one of the README is an example: `examples.test.ts`.
    const others = of('rust').filter(({ page }) => page !== 'README.md')
    expect(others.filter(({ page }) => !library.includes(`include_str!("../${page}")`))).toEqual([])
  })
})
