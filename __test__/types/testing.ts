/** Uses every name of `thryd/testing` against its shipped typings. Never run, as `contract.ts`. */

import { CompletionRouter, type DummyOptions, type ProviderOptions } from 'thryd'
import {
  type Behaviour,
  type BehaviourName,
  type BehaviourOptions,
  type Bounds,
  type Fault,
  FaultServer,
  type FaultServerCounts,
  type FaultServerOptions,
  type FaultShares,
  type LoggedRequest,
  type Script,
  type Served,
} from 'thryd/testing'

const faults: Record<Fault, true> = {
  reset: true,
  close: true,
  hang: true,
  stall: true,
  cut: true,
  end: true,
  malformed: true,
  errorEvent: true,
  noDone: true,
  stallError: true,
  cutAfterFinish: true,
  stallAfterFinish: true,
  html: true,
  empty: true,
}
const shares: FaultShares = { status: { 503: 0.1, 429: 0.1 }, cut: 0.1 }
const bounds: Bounds[] = [5, [1, 2]]
const names: BehaviourName[] = ['ok', 'hang', 'status-503', 'cut-3']
const options: BehaviourOptions = {
  fault: 'cut',
  afterTokens: 2,
  headers: { 'x-a': 'b' },
  retryAfterMs: 100,
  latencyMs: [1, 2],
  tokenIntervalMs: 5,
  content: 'text',
  toolCalls: [{ name: 'f', arguments: { a: 1 } }],
  finishReason: 'stop',
}
const behaviours: Behaviour[] = [...names, options, { status: 429, body: { error: {} } }, { faults: shares }]
const scripts: Script[] = [
  'ok',
  behaviours,
  (request) => (request.stream ? 'cut' : undefined),
  async ({ body }) => (body['temperature'] === 0 ? { status: 400 } : 'ok'),
]
const all: Required<FaultServerOptions> = {
  port: 0,
  seed: 1,
  models: { a: 'hang', b: scripts[1] ?? 'ok' },
  faults: shares,
  latencyMs: bounds[0] ?? 0,
  tokenIntervalMs: [1, 2],
  logLimit: 10,
}
// The dummy's words are the same.
const dummy: DummyOptions = { faults: shares, responses: ['a', { fault: 'cut', afterTokens: 2 }] }

export async function use(): Promise<unknown> {
  const server: FaultServer = await FaultServer.start(all)
  const provider: ProviderOptions = server.provider('faulty')
  new CompletionRouter().addProvider(provider).addProvider({ type: 'dummy', dummy })
  server.script('a', ['status-503', 'ok']).script('b').outage().outage('reset', 'a', 'b').recover('a').recover()
  const request: LoggedRequest = await server.waitFor(() => server.requests[0])
  const served: Served | undefined = request.served
  const counts: Readonly<FaultServerCounts> = server.counts
  const numbers: (number | undefined)[] = [
    request.number,
    request.atMs,
    request.answeredAtMs,
    request.endedAtMs,
    request.connection,
    request.tokens,
    request.status,
    counts.requests + counts.open + counts.aborted + counts.tokens,
    counts.served['status-503'],
    counts.models['a'],
    server.connections,
    server.port,
  ]
  const texts: (string | undefined)[] = [
    request.model,
    request.path,
    request.headers['x-a'],
    request.endedBy,
    server.url,
  ]
  await server.waitFor(() => request.body['stream'] === request.stream, { timeoutMs: 100 })
  await server.refuse()
  await server.listen()
  server.disconnect()
  server.reset()
  await server.close()
  await server[Symbol.asyncDispose]()
  return [faults, served, numbers, texts]
}
