/** What a synchronous call of the core gave. */

import { callSite, fail } from './errors'
import type { Failure } from './letter'
import type { Reply } from './native'

/** The value of a reply. @throws the reply's error, with the frames of whoever called `method` */
export function valueOf<Value>(reply: Reply, method: Function): Value {
  const outcome = JSON.parse(reply) as { ok: Value; err?: Failure }
  if (outcome.err) throw fail(outcome.err, callSite(method))
  return outcome.ok
}
