/** thryd/testing: a server that fails on demand, for proving that what you have set up survives it. */

export type { Fault, FaultShares } from '../faults'
export type { Behaviour, BehaviourName, BehaviourOptions, Bounds, Script } from './behaviour'
export { LoggedRequest } from './log'
export type { FaultServerCounts, Served } from './log'
export { FaultServer } from './server'
export type { FaultServerOptions } from './options'
