import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')

// Whatever is left behind is named on stderr, which the rejection shows.
test(
  'workers that come and go, each using everything, leave no file and no thread behind',
  { timeout: 60_000 },
  async () => {
    const script = [join(root, 'scripts/workers.mjs'), '30']
    const { stdout } = await promisify(execFile)(process.execPath, script, { cwd: root, timeout: 55_000 })
    expect(stdout).toMatch(/nothing is left behind\n$/)
  },
)
