import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['__test__/**/*.test.ts'],
    // The addon lives as long as its process.
    pool: 'forks',
    testTimeout: 20_000,
  },
})
