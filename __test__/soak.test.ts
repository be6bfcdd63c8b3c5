import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')

// Whatever is left behind is named on stderr, which the rejection shows.
test(
  'twenty thousand calls, some aborted, some failing, some left, leave nothing behind',
  { timeout: 180_000 },
  async () => {
    const script = [join(root, 'scripts/soak.mjs'), '20000']
    const { stdout } = await promisify(execFile)(process.execPath, script, { cwd: root, timeout: 170_000 })
    expect(stdout).toMatch(/nothing is left behind\n$/)
  },
)
