import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['*.test.ts'],
    // The addon lives as long as its process.
    pool: 'forks',
    testTimeout: 20_000,
  },
})
