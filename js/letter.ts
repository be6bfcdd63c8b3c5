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
}

/** The unit of mail. */
export interface Letter {
  kind: LetterKind
  id: number
  text?: string
  raw?: string
  /** A whole body that is handed on and not looked at. */
  bytes?: Uint8Array<ArrayBuffer>
  vectors?: Float32Array
  dimensions?: number
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
