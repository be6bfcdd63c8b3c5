import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { ANSWERS } from './answers'
import type { Named } from './asking'
import { FAILURES } from './failures'
import { litellm } from './litellm'
import { llama } from './llama'
import { llamaCppPython } from './llama-cpp-python'
import { MOCKED } from './mocked'
import type { Kind, Server } from './server'
import { Table } from './table'
import { THROUGH } from './through'

const KINDS: Kind[] = [llama, llamaCppPython, litellm]
const COMMON: Named[] = [...ANSWERS, ...FAILURES, ...THROUGH]

/** The environments that scripts/servers.sh could make. */
const INSTALLED = (process.env['SERVERS'] ?? '').split(' ')

const run = promisify(execFile)
const python = (name: string): string => join(import.meta.dirname, '.venv', name, 'bin/python')

/** The version that is installed. */
async function version({ name, distribution }: Kind): Promise<string> {
  const { stdout } = await run(python(name), [
    '-c',
    `from importlib.metadata import version as v; print(v('${distribution}'))`,
  ])
  return stdout.trim()
}

let folder = ''
let model = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thryd-servers-'))
  model = join(folder, 'counter.gguf')
  await run(python(llama.name), [join(import.meta.dirname, 'python/model.py'), model])
})

afterAll(() => rm(folder, { recursive: true }))

test('there is a server to ask', () => {
  expect(INSTALLED).toContain(llama.name)
})

describe.each(KINDS.filter(({ name }) => INSTALLED.includes(name)))('$name', (kind) => {
  const titles = KINDS.map(({ title }) => title)
  const table = new Table(
    titles,
    [...COMMON, ...MOCKED].map(([row]) => row),
  )
  let server: Server

  beforeAll(async () => {
    server = await kind.start(model)
  })

  afterAll(() => server.close())

  test.each(kind === litellm ? [...COMMON, ...(MOCKED as Named[])] : COMMON)('%s', async (row, feature) => {
    const cell = await feature(server, kind)
    expect(cell).toBeTruthy()
    table.set(row, cell)
  })

  test('its column in docs/servers.md is what it did (UPDATE_TABLE=1 writes it)', async () => {
    const { measured, documented } = table.compare(kind.title, `${kind.title} ${await version(kind)}`)
    expect(measured).toEqual(documented)
  })
})
