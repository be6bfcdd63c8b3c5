/** What a handler is made of, checked. */

import { callback, describe } from '../encode'
import type { Kind, NativeRouter } from '../native'
import { CompletionRouter, EmbeddingRouter, RerankRouter, ResponsesRouter, type Router, nativeOf } from '../router'
import type { FetchOptions } from '.'

/** The options as the handler uses them. */
export interface Settings {
  /** By their kinds; held, so that their custom providers are. */
  routers: Map<Kind, { router: Router<unknown, unknown>; native: NativeRouter }>
  authorize: FetchOptions['authorize']
  options: FetchOptions['options']
  maxBodyBytes: number
}

const ROUTERS = {
  completion: { kind: 'completion', Class: CompletionRouter },
  responses: { kind: 'response', Class: ResponsesRouter },
  embedding: { kind: 'embedding', Class: EmbeddingRouter },
  rerank: { kind: 'rerank', Class: RerankRouter },
} as const
const NAMES = [...Object.keys(ROUTERS), 'authorize', 'options', 'maxBodyBytes']

/** Checks the options. @throws TypeError and RangeError, naming the field */
export function settingsOf(given: FetchOptions): Settings {
  if (typeof given !== 'object' || given === null)
    throw new TypeError(`toFetch: expected an object with routers, got ${describe(given)}`)
  const unknown = Object.keys(given).find((name) => !NAMES.includes(name))
  if (unknown !== undefined) throw new TypeError(`toFetch: unknown field ${unknown}; there are: ${NAMES.join(', ')}`)
  const routers: Settings['routers'] = new Map()
  for (const name of Object.keys(ROUTERS) as (keyof typeof ROUTERS)[]) {
    const { kind, Class } = ROUTERS[name]
    const router: unknown = given[name]
    if (router === undefined) continue
    if (!(router instanceof Class)) throw new TypeError(`toFetch: ${name}: expected a ${Class.name}`)
    routers.set(kind, { router: router as Router<unknown, unknown>, native: nativeOf(router as never) })
  }
  if (routers.size === 0)
    throw new TypeError('toFetch: expected a completion, a responses, an embedding or a rerank router')
  const { options, maxBodyBytes = 64 * 1024 * 1024 } = given
  if (!Number.isSafeInteger(maxBodyBytes) || maxBodyBytes < 1)
    throw new RangeError(`toFetch: maxBodyBytes: expected an integer of at least 1, got ${maxBodyBytes}`)
  return { routers, authorize: callback('toFetch: authorize', given.authorize), options, maxBodyBytes }
}
