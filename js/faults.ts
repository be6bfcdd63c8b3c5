/** The words for what can go wrong with an answer: the `dummy` and the fault server of `thryd/testing` share them. */

/**
 * What goes wrong, beside an HTTP status:
 *
 * - `'reset'`: the connection is reset (RST) before an answer
 * - `'close'`: it is closed (FIN) before an answer
 * - `'hang'`: no headers ever come
 * - `'stall'`: silence in the middle of the answer, for ever
 * - `'cut'`: the connection is lost in the middle
 * - `'end'`: a clean end in the middle, without a finish reason
 * - `'malformed'`: an event that cannot be read
 * - `'errorEvent'`: an error inside an answer with status 200
 * - `'noDone'`: a stream without its last `[DONE]`, which is no failure
 * - `'html'`: status 200 with a page
 * - `'empty'`: status 200 with nothing
 * - `'stallError'`: status 503, and silence in the place of the body that its headers announce
 * - `'cutAfterFinish'`: a stream whose connection is lost after the finish reason, which is no failure
 * - `'stallAfterFinish'`: silence after it, likewise
 */
export type Fault =
  | 'reset'
  | 'close'
  | 'hang'
  | 'stall'
  | 'cut'
  | 'end'
  | 'malformed'
  | 'errorEvent'
  | 'noDone'
  | 'html'
  | 'empty'
  | 'stallError'
  | 'cutAfterFinish'
  | 'stallAfterFinish'

/** Shares of calls, from 0 to 1, that go wrong in some way; together at most 1. */
export interface FaultShares extends Partial<Record<Fault, number>> {
  /** By HTTP status, e.g. `{ 429: 0.1 }`. */
  status?: Record<string, number>
}
