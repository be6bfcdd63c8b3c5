/** Times that are promised, on a machine that may be busy. */

import { expect } from 'vitest'

/** Milliseconds: of the middle one of several tries, and of each of them. */
export interface Bounds {
  median: number
  all: number
}

/** For the socket of a call that nobody wants any more. All that is expected of each is that it waits for no clock. */
export const CLOSED: Bounds = { median: 100, all: 5_000 }
export const TRIES = 5

/**
 * What is promised holds for most of several tries: the best of them may be luck, and a slow machine may be late now and
 * then, for less than half of them.
 */
export function expectWithin(times: number[], { median, all }: Bounds): void {
  const sorted = times.toSorted((left, right) => left - right)
  expect(sorted[times.length >> 1], `of ${times.join(', ')} ms`).toBeLessThan(median)
  expect(sorted.at(-1)).toBeLessThan(all)
}

/** The same of what several tries, one after the other, say of the time that they took. */
export async function expectClosed(attempt: () => Promise<number>): Promise<void> {
  const times: number[] = []
  while (times.length < TRIES) times.push(await attempt())
  expectWithin(times, CLOSED)
}
