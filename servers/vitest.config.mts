import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['*.test.ts'],
    // The addon lives as long as its process.
    pool: 'forks',
    // Servers of Python are slow to start, and both cores are theirs.
    testTimeout: 60_000,
    hookTimeout: 180_000,
    fileParallelism: false,
    // In how much time they answer is not ours: LiteLLM's proxy took 8 s to let go of a stream once.
    retry: 1,
  },
})
