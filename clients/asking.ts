/** What the tests of features and of failures share. */

import { expect } from 'vitest'

import type { Ask, Client } from './client'
import type { World } from './world'

/** A claim about one client, in a world of its own. What it gives is a cell of the table. */
export type Feature = (client: Client, world: World) => Promise<string>

/** A name for it, and the row of the table that it is for, if that is called otherwise. */
export type Named = [name: string, feature: Feature, row?: string]

/** Asks for the whole or for a stream, and gives the text. */
export function ask(client: Client, world: World, isStream: boolean, asked: Ask): Promise<string> {
  return isStream ? read(client.stream(world, asked)) : client.ask(world, asked)
}

/** Reads a stream to its end, its pieces `into` a list. */
export async function read(stream: AsyncIterable<string>, into: string[] = []): Promise<string> {
  for await (const text of stream) if (text !== '') into.push(text)
  return into.join('')
}

/** What a promise is rejected with. */
export async function caught(promise: Promise<unknown>): Promise<Error> {
  const [outcome] = await Promise.allSettled([promise])
  if (outcome.status === 'fulfilled') throw new Error(`nothing was thrown, but given: ${JSON.stringify(outcome.value)}`)
  expect(outcome.reason).toBeInstanceOf(Error)
  return outcome.reason as Error
}

/** What an error is caught by. */
export function nameOf(error: Error): string {
  const className = error.constructor.name
  return `\`${className === 'Error' || error instanceof DOMException ? error.name : className}\``
}
