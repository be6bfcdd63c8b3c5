import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['*.test.mjs'],
    pool: process.env.POOL,
    maxWorkers: 3,
    globalSetup: './server.mjs',
    testTimeout: 20_000,
  },
})
