/** What whole answers have in common: the provider's own JSON, parsed when it is first read. */

/** A whole answer. Whatever else it says are properties of its own, as those of plain objects, in the order in which they are shown. */
export abstract class Answer {
  #text: string | undefined
  readonly #before: number
  readonly #content: number
  #raw: unknown

  /**
   * @param raw - the provider's own JSON; or, if the answer's content is a string in it, what stands `before` that, what stands after
   * it, and, from `content` on, the content itself, which is then not held twice
   */
  constructor(raw: string | undefined, before = 0, content = 0) {
    this.#text = raw
    this.#before = before
    this.#content = content
  }

  get raw(): unknown {
    const text = this.#text
    if (text !== undefined) {
      const [before, content] = [this.#before, this.#content]
      this.#raw = JSON.parse(
        content === 0
          ? text
          : text.slice(0, before) + JSON.stringify(text.slice(content)) + text.slice(before, content),
      )
      this.#text = undefined
    }
    return this.#raw
  }
}
