/** What whole answers have in common: how they came about, and the provider's own JSON, parsed when it is first read. */

import type { Attempt, Served, Usage } from './served'

/** A whole answer, with the fields of its kind before those of all. */
export abstract class Answer<Fields extends Served> implements Served {
  declare readonly deployment: string
  declare readonly model: string
  declare readonly usage: Usage
  declare readonly cache: Served['cache']
  declare readonly attempts: Attempt[]
  declare readonly latencyMs: number
  declare readonly queuedMs: number
  declare readonly queuePosition: number
  #text: string | undefined
  #raw: unknown

  constructor(fields: Fields, raw: string | undefined) {
    Object.assign(this, fields)
    this.#text = raw
  }

  get raw(): unknown {
    if (this.#text !== undefined) {
      this.#raw = JSON.parse(this.#text)
      this.#text = undefined
    }
    return this.#raw
  }
}
