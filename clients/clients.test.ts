import { streamText } from 'ai'
import { afterEach, describe, expect, test, vi } from 'vitest'

import { aiSdk, asked } from './ai-sdk'
import { FAILURES } from './failures'
import { FEATURES } from './features'
import { langchain } from './langchain'
import { openai } from './openai'
import { Table } from './table'
import { World } from './world'

const CLIENTS = [openai, aiSdk, langchain]
const table = new Table(CLIENTS)

afterEach(() => {
  vi.restoreAllMocks()
})

describe.each(CLIENTS)('$name', (client) => {
  describe.each([
    ['with the handler as its fetch', false],
    ['before the handler behind node:http', true],
  ])('%s', (_place, isServed) => {
    test.each([...FEATURES, ...FAILURES])('%s', async (title, feature, row = title) => {
      const world = await World.start(isServed)
      try {
        const cell = await feature(client, world)
        expect(cell).toBeTruthy()
        table.set(row, client, cell)
      } finally {
        await world.close()
      }
    })
  })
})

test.each(['cut', 'end'] as const)('the AI SDK’s textStream throws too at a stream with a %s', async (fault) => {
  const world = await World.start(false)
  world.server.script('m', { fault, afterTokens: 2, tokenIntervalMs: 25 })
  const { textStream } = streamText({ ...asked(world, { content: 'three small words' }), onError: () => undefined })
  const pieces: string[] = []
  const reading = async (): Promise<void> => {
    for await (const text of textStream) pieces.push(text)
  }
  await expect(reading()).rejects.toBeInstanceOf(aiSdk.error)
  expect(pieces.join('')).toBe('three small ')
  await world.close()
})

test('the table in docs/clients.md is what the clients did (UPDATE_TABLE=1 writes it)', () => {
  const { measured, documented } = table.compare()
  expect(measured).toBe(documented)
})
