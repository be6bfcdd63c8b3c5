'use strict'

module.exports = { testMatch: ['**/*.test.cjs'], testTimeout: 20_000 }
