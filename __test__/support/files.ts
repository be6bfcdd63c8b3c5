/** Files for the tests of one file, in a folder that is gone when they have ended. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll } from 'vitest'

export class Files {
  /** There as soon as tests run. */
  folder = ''
  #count = 0

  constructor(name: string) {
    beforeAll(() => {
      this.folder = mkdtempSync(join(tmpdir(), `thryd-${name}-`))
    })
    afterAll(() => rmSync(this.folder, { recursive: true, force: true }))
  }

  /** A path that nobody used yet. */
  fresh(extension = 'redb'): string {
    this.#count += 1
    return join(this.folder, `${this.#count}.${extension}`)
  }
}
