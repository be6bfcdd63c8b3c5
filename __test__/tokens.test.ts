import { describe, expect, test } from 'vitest'

import { countTokens, countTokensAsync } from '..'

describe('half a surrogate pair', () => {
  test.each(['\ud800', '\udfff', 'a\ud83d b', '\\\ud800', '\udc00\ud800', String.raw`no \ud800 at all`])(
    'counts as U+FFFD in %j',
    async (text) => {
      const count = countTokens(text.toWellFormed())
      expect(countTokens(text)).toBe(count)
      expect(await countTokensAsync(text)).toBe(count)
      const messages = (content: string) => [{ role: 'user', content }] as const
      expect(countTokens([...messages(text)])).toBe(countTokens([...messages(text.toWellFormed())]))
    },
  )
})
