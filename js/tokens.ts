/** Counting tokens, and metering them. */

import type { CompletionRequest } from './completion'
import { describe, encodeOptions, text } from './encode'
import { mailbox, settled } from './mailbox'
import { type NativeUsageTracker, native } from './native'
import { valueOf } from './reply'

/**
 * Counts as the model's tokenizer does; messages with what each costs on top of its text.
 * @param input - a text, or messages
 * @param model - e.g. `'gpt-4o'`, or an encoding: `'o200k_base'`, `'cl100k_base'`, `'p50k_base'`, `'r50k_base'`.
 * @default 'o200k_base'
 * @returns tokens. The first call for an encoding loads its vocabulary, some 20 ms
 * @throws TypeError if the model is not known, and on messages of another form
 */
export function countTokens(input: string | CompletionRequest['messages'], model?: string): number {
  const reply =
    typeof input === 'string'
      ? native.countText(input, modelOf(model))
      : native.countTokens(encodeMessages(input), modelOf(model))
  return typeof reply === 'number' ? reply : valueOf(reply, countTokens)
}

/** The same off the JavaScript thread, for long texts. */
export async function countTokensAsync(input: string | CompletionRequest['messages'], model?: string): Promise<number> {
  const isText = typeof input === 'string'
  const encoded = isText ? input : encodeMessages(input)
  const name = modelOf(model)
  const count = isText ? native.countTextAsync : native.countTokensAsync
  return await settled((id) => count(mailbox, id, encoded, name))
}

/** The window on its own, for callers who meter something else. In any 60 s at most `rpm` requests and `tpm` tokens. */
export class UsageTracker {
  readonly #native: NativeUsageTracker = new native.NativeUsageTracker()

  /**
   * @param limits - requests and tokens in any 60 s: positive integers. @default unlimited
   * @throws RangeError, TypeError
   */
  constructor(limits: { rpm?: number; tpm?: number }) {
    valueOf(this.#native.configure(encodeOptions('limits', limits)), UsageTracker)
  }

  /**
   * Reserves one request and so many tokens, if there is room.
   * @param tokens - @default 0
   * @returns 0 and reserves, or the milliseconds to wait and reserves nothing
   * @throws RangeError if so many can never fit
   */
  tryAcquire(tokens?: number): number {
    const amount = tokens === undefined || tokens === null ? undefined : number('tokens', tokens)
    return valueOf(this.#native.tryAcquire(amount), UsageTracker.prototype.tryAcquire)
  }

  /** Replaces a reservation of tokens by what was used. */
  settle(reserved: number, actual: number): void {
    valueOf(this.#native.settle(number('reserved', reserved), number('actual', actual)), UsageTracker.prototype.settle)
  }

  /** What could be reserved now; Infinity where there is no limit. */
  remaining(): { requests: number; tokens: number } {
    const { requests, tokens } = valueOf<Record<'requests' | 'tokens', number | null>>(
      this.#native.remaining(),
      UsageTracker.prototype.remaining,
    )
    return { requests: requests ?? Infinity, tokens: tokens ?? Infinity }
  }
}

function encodeMessages(input: unknown): string {
  if (Array.isArray(input)) return wellFormed(encodeOptions('input', input))
  throw new TypeError(`input: expected a string or an array of messages, got ${describe(input)}`)
}

/** Half a surrogate pair has no UTF-8: it counts as U+FFFD, as tiktoken counts it. JSON writes it as an escape, and only it. */
function wellFormed(json: string): string {
  if (!json.includes(String.raw`\ud`)) return json
  return json.replace(/\\(?:ud[89a-f][0-9a-f]{2}|.)/g, (escape) => (escape.length === 6 ? '\ufffd' : escape))
}

function modelOf(model: unknown): string | null {
  return model === undefined || model === null ? null : text('model', model)
}

function number(field: string, value: unknown): number {
  if (typeof value !== 'number') throw new TypeError(`${field}: expected a number, got ${describe(value)}`)
  return value
}
