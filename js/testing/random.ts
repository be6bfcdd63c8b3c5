/** Numbers that look random and are the same in every run. */

/** Mulberry32 (Tommy Ettinger, public domain): 32 bits of state, a period of 2^32, good enough for drawing faults. */
export class Random {
  #state: number

  /** Equal seeds and names give equal numbers; another name gives others. */
  constructor(seed: number, name = '') {
    this.#state = (seed ^ hash(name)) | 0
  }

  /** The next number, at least 0 and below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

/** FNV-1a (Fowler, Noll and Vo, public domain), 32 bits, over UTF-16 units. */
export function hash(text: string): number {
  let state = 0x811c9dc5
  for (let place = 0; place < text.length; place++) state = Math.imul(state ^ text.charCodeAt(place), 0x01000193)
  return state >>> 0
}
