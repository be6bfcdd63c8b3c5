/** Scripts of the fault server, and what attempts at them came to. */

import type { Behaviour } from 'thryd/testing'

import type { Attempt } from '../..'

/** The same for every request. */
export const always = (behaviour: Behaviour): Behaviour[] => Array.from({ length: 20 }, () => behaviour)

/** The outcome of each attempt, with what the provider said to it. */
export const outcomes = (attempts: Attempt[]) =>
  attempts.map(({ outcome, status }) => (status ? `${outcome} ${status}` : outcome))
