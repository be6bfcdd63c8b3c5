/** What the core tells this face: the answer of a call, a part of it, or a call of a custom provider. */

import type { TimeoutError } from './errors'
import type { Attempt } from './served'

/** The kinds of a letter. */
export enum LetterKind {
  /** Settled well: `text` is JSON of the value; `raw` and `vectors` carry what is too big to parse without need. */
  Ok = 0,
  /** Failed: `text` is JSON of a `Failure`. */
  Failed = 1,
  /** Some chunks of a stream: `text` is a JSON array of them. */
  Chunks = 2,
  /** A stream's end: the whole completion, as in `Ok`. */
  End = 3,
  /** The core calls a custom provider: `text` is JSON of a `CustomCall`, `id` names the call. */
  Call = 4,
  /** The core no longer wants the answer of the custom call `id`. */
  Abort = 5,
  /** How far a call is that is not settled yet: `text` is JSON. */
  Progress = 6,
  /** The core has room again for what the custom call `id` says. */
  Continue = 7,
  /** As `Chunks`, and the next ones come without a `pull`. */
  More = 8,
}

/** The unit of mail. */
export interface Letter {
  kind: LetterKind
  id: number
  text?: string
  /** What `text` would say, of a letter that came with others in one JSON. */
  value?: unknown
  raw?: string
  /** A whole body that is handed on and not looked at. */
  bytes?: Uint8Array<ArrayBuffer>
  vectors?: Float32Array
  dimensions?: number
}

/** What a letter says. */
export function contentOf(letter: Letter): unknown {
  return letter.value === undefined ? JSON.parse(letter.text ?? 'null') : letter.value
}

/** What went wrong, as the core says it. */
export interface Failure {
  /** The class of the error; `Cancelled` stands for the signal's own reason. */
  name: string
  /** Empty for TypeError, RangeError and Cancelled. */
  code: string
  message: string
  retryable: boolean
  attempts: Attempt[]
  retryAfterMs?: number
  phase?: TimeoutError['phase']
  status?: number
  deployment?: string
  body?: string
  requestId?: string
  delivered?: string
  errors?: Failure[]
}
