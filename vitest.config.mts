import { availableParallelism } from 'node:os'

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['__test__/**/*.test.ts'],
    // The addon lives as long as its process.
    pool: 'forks',
    // One more than the others need: `limits.test.ts` waits for two minutes of real time.
    maxWorkers: Math.max(2, availableParallelism()),
    // For what hangs: processes of tests may be slow where other programs run beside them.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // What comes in its own time: a busy machine is given more than a second.
    expect: { poll: { timeout: 10_000 } },
  },
})
