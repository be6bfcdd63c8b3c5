/**
 * The letters of one call that keep coming: asked for as they are needed, and kept while nobody waits. Who was there for each of
 * the last ones asks for more at a time, so that not every one costs a call of the core.
 */

import { type Letter, LetterKind } from './letter'
import { follow, hold, letGo, unfollow } from './mailbox'

/** Asks the core: a letter that is there, or nothing; then what comes is brought, by at most so many letters. */
export type Pull = (id: number, letters: number) => Letter | null

/** Most letters that are asked for at a time. */
const MOST_LETTERS = 32

/** See above. Leads to nobody but who waits. */
export class Incoming {
  readonly #id: number
  readonly #pull: Pull
  /** What came while nobody waited. */
  #letters: Letter[] = []
  /** Whether letters come without being asked for. */
  #isFollowing = false
  /** So many are asked for. Who is busy gets all in one. */
  #pace = 1
  #recipient: ((letter: Letter) => void) | undefined
  readonly #onMail = (letter: Letter): void => {
    if (letter.kind !== LetterKind.More) {
      this.#stop()
      this.#pace = Math.min(this.#pace * 2, MOST_LETTERS)
    }
    const recipient = this.#recipient
    if (recipient === undefined) {
      this.#pace = 1
      this.#letters.push(letter)
      return
    }
    this.#recipient = undefined
    try {
      recipient(letter)
    } finally {
      // Last: he may be waiting for the next one by now.
      letGo()
    }
  }

  constructor(id: number, pull: Pull) {
    this.#id = id
    this.#pull = pull
  }

  /** The next letter; if there is none yet, `recipient` gets it, and the event loop is held until then. */
  next(recipient: (letter: Letter) => void): Letter | undefined {
    const letter = this.#letters.shift() ?? (this.#isFollowing ? null : this.#ask())
    if (letter !== null) return letter
    this.#recipient = recipient
    hold()
    return undefined
  }

  /** Nobody wants any more. */
  leave(): void {
    this.#stop()
    this.#letters = []
    if (this.#recipient === undefined) return
    this.#recipient = undefined
    letGo()
  }

  #ask(): Letter | null {
    const letter = this.#pull(this.#id, this.#pace)
    if (letter === null) {
      this.#isFollowing = true
      follow(this.#id, this.#onMail)
    }
    return letter
  }

  #stop(): void {
    if (!this.#isFollowing) return
    this.#isFollowing = false
    unfollow(this.#id)
  }
}
