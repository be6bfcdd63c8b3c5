/** Waiting for a router that has nothing left to do. */

import { expect, vi } from 'vitest'

import type { CompletionRouter, EmbeddingRouter } from '../..'

/** For `vi.waitFor`: looks often, and lets a slow machine take its time. */
export const SOON = { interval: 1, timeout: 10_000 }

/** Nothing is under way or in line. */
export async function expectIdle(router: CompletionRouter | EmbeddingRouter): Promise<void> {
  // What was cancelled is let go on another thread.
  const idle = () => {
    const { inFlight, waiting: inLine, groups } = router.stats()
    const held = groups['default']?.deployments.map((deployment) => deployment.inFlight)
    expect({ inFlight, inLine, held }).toEqual({ inFlight: 0, inLine: 0, held: held?.map(() => 0) })
  }
  await vi.waitFor(idle, SOON)
}
