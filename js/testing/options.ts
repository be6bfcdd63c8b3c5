/** What a fault server starts with. */

import type { FaultShares } from '../faults'
import { type Bounds, OK, type Plan, type Script, readBehaviour } from './behaviour'
import * as read from './read'

/** What a fault server starts with; `reset()` goes back to it. */
export interface FaultServerOptions {
  /** Of 127.0.0.1. @default a free one */
  port?: number
  /** Makes chances repeatable: the n-th request to a model then gets the same in every run. An integer. @default 0 */
  seed?: number
  /** What the models do, by name; `'*'` is all that have no script and are not named like a behaviour. @default answer well */
  models?: Record<string, Script>
  /** Shares of requests that go wrong, of models that have no script and are not named like a behaviour. @default none */
  faults?: FaultShares
  /** Milliseconds before the headers of every answer, unless its behaviour says otherwise. @default 0 */
  latencyMs?: Bounds
  /** Milliseconds between two tokens of every stream, likewise. @default 0: all at once */
  tokenIntervalMs?: Bounds
  /** How many of the newest requests are kept in `requests`: 0 for long runs, which then only count. @default 10_000 */
  logLimit?: number
}

/** The same, read and checked. */
export interface Settings {
  port: number
  seed: number
  models: Readonly<Record<string, Script>>
  /** What models do that have no script. */
  rest: Plan
  latency: readonly [number, number]
  tokenInterval: readonly [number, number]
  logLimit: number
}

const OPTIONS = ['port', 'seed', 'models', 'faults', 'latencyMs', 'tokenIntervalMs', 'logLimit'] as const
const PATH = 'fault server options'

/** Reads them. @throws TypeError, RangeError that name what is wrong */
export function readSettings(options: FaultServerOptions): Settings {
  const { port, seed, models, faults, latencyMs, tokenIntervalMs, logLimit } = read.fields(PATH, options, OPTIONS)
  return {
    port: read.integer(`${PATH}.port`, port, 0, 65_535) ?? 0,
    seed: read.integer(`${PATH}.seed`, seed, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) ?? 0,
    models: read.fields(`${PATH}.models`, models, Object.keys(models ?? {})) as Record<string, Script>,
    rest: faults === undefined ? OK : readBehaviour(PATH, { faults }),
    latency: read.bounds(`${PATH}.latencyMs`, latencyMs) ?? [0, 0],
    tokenInterval: read.bounds(`${PATH}.tokenIntervalMs`, tokenIntervalMs) ?? [0, 0],
    logLimit: read.integer(`${PATH}.logLimit`, logLimit, 0) ?? 10_000,
  }
}
