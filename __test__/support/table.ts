/** What each fault comes to, seen from both ends of a real socket: the rows of the table in docs/failures.md. */

import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

import {
  type Attempt,
  CompletionRouter,
  InterruptedError,
  ProviderError,
  ThrydError,
  TimeoutError,
  type StreamOptions,
} from '../..'
import { FaultServer, type Behaviour, type LoggedRequest } from '../../js/testing'
import { Stalls } from './stalls'

/** Far enough apart that a slow machine does not blur them. */
const CLOCK_MS = 500
const REST_MS = 1250

/** What this process may be late by, and how often a call is made once more during which it was later. */
const LATE_MS = 50
const TRIES = 10

/** The answers of the two deployments. */
const WORDS = { a: 'one two three four', b: 'five six seven eight' }

const error = (code: string, message: string) => ({ error: { code, message, type: code } })
const event = (data: object) => `data: ${JSON.stringify(data)}\n\n`
const piece = (delta: object, finish_reason: string | null) => event({ choices: [{ index: 0, delta, finish_reason }] })
/** With a delay, lest the jitter of rests without one makes the times differ from run to run. */
const overloaded = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded, try again in 1s' } }

/** What the server does with a request. */
type Does = Behaviour | ((request: LoggedRequest) => Behaviour)

/** What nobody answers: the server never hears of it. */
const UNREACHED = ['refused', 'no handshake'] as const
type Unreached = (typeof UNREACHED)[number]

/** By the name that the table gives it. */
const FAULTS: Record<string, Does> = {
  '429, back in 1 s': { status: 429, retryAfterMs: 1000 },
  '429, back in a minute': { status: 429, retryAfterMs: 60_000 },
  '429 `insufficient_quota`': { status: 429, body: error('insufficient_quota', 'You exceeded your current quota') },
  '401': { status: 401, body: error('invalid_api_key', 'Incorrect API key provided') },
  '400': { status: 400, body: error('invalid_request_error', 'temperature must be at most 2') },
  '400 `content_filter`': { status: 400, body: error('content_filter', 'The prompt was filtered') },
  '400 `context_length_exceeded`': { status: 400, body: error('context_length_exceeded', 'too long') },
  '500': 'status-500',
  '503, back in 1 s': { status: 503, retryAfterMs: 1000 },
  reset: 'reset',
  close: 'close',
  hang: 'hang',
  stall: 'stall-2',
  cut: 'cut-2',
  end: 'end-2',
  malformed: 'malformed-2',
  errorEvent: 'errorEvent-2',
  noDone: 'noDone',
  html: 'html',
  empty: 'empty',
  stallError: 'stallError',
  cutAfterFinish: 'cutAfterFinish',
  stallAfterFinish: 'stallAfterFinish',
  '200 `overloaded_error`, back in 1 s': ({ stream }) =>
    stream ? { headers: { 'content-type': 'text/event-stream' }, body: event(overloaded) } : { body: overloaded },
  'events as `application/json`': { body: `${piece({ content: WORDS.a }, null)}${piece({}, 'stop')}data: [DONE]\n\n` },
}

type Call = StreamOptions & { whole?: true }

const CALLS: Record<string, Call> = {
  // The attempt's clock is to run out before the gap's.
  invoke: { whole: true, attemptMs: CLOCK_MS, idleMs: 2 * CLOCK_MS },
  'invoke with firstTokenMs': { whole: true, firstTokenMs: CLOCK_MS },
  stream: { firstTokenMs: CLOCK_MS },
  buffered: { firstTokenMs: CLOCK_MS, buffer: true },
  restart: { firstTokenMs: CLOCK_MS, onInterrupt: 'restart' },
}

/** Everything that one call came to. */
interface Cell {
  fault: string
  company: string
  call: string
  caller: string
  provider: string
  time: string
}

/** The table, as it stands between its marks in docs/failures.md. */
export async function table(): Promise<string> {
  await using server = await FaultServer.start({ tokenIntervalMs: 20 })
  const { urls, close } = await unreachable()
  const cells = [...UNREACHED, ...Object.keys(FAULTS)].flatMap((fault) =>
    ['alone', 'with another'].flatMap((company) => Object.keys(CALLS).map((call) => ({ fault, company, call }))),
  )
  // The first answer without usage loads the tables by which tokens are counted, which is not to be measured.
  await run(server, {}, `${cells.length}`, { fault: 'cutAfterFinish', company: 'alone', call: 'stream' })
  // The core's threads may be late where that of the tests is not.
  const other = new CompletionRouter({ providers: [{ type: 'dummy', dummy: { latencyMs: 1 } }] })
  other.deploy('g', 'dummy::echo')
  using stalls = new Stalls(5, () => other.invoke('g', { message: 'hi' }))
  const done: Cell[] = []
  const todo = cells.entries()
  const worker = async () => {
    for (const [place, cell] of todo) {
      // Of several, the one during which the least was late.
      let least = Infinity
      for (let again = 0; again <= TRIES && least > LATE_MS; again += 1) {
        const begun = performance.now()
        const came = { ...cell, ...(await run(server, urls, `${place}-${again}`, cell)) }
        const lateMs = stalls.longest(begun)
        if (lateMs >= least) continue
        least = lateMs
        done[place] = came
      }
    }
  }
  await Promise.all(Array.from({ length: 24 }, worker))
  close()
  return render(done)
}

/** Where nobody listens, on a port that the system gives to nobody else. */
const NOBODY = 'http://127.0.0.1:1/v1'

/** That, and where somebody does who knows nothing of TLS and says nothing. */
async function unreachable(): Promise<{ urls: Record<Unreached, string>; close: () => void }> {
  const sockets: Socket[] = []
  const mute = createServer((socket) => void sockets.push(socket.on('error', () => undefined)))
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  const { port } = mute.address() as AddressInfo
  const close = (): void => {
    mute.close()
    for (const socket of sockets) socket.destroy()
  }
  return {
    urls: { refused: NOBODY, 'no handshake': `https://127.0.0.1:${port}/v1` },
    close,
  }
}

/** One call to deployments of its own. */
async function run(
  server: FaultServer,
  urls: Partial<Record<string, string>>,
  place: string,
  cell: Pick<Cell, 'fault' | 'company' | 'call'>,
) {
  const names = { a: `a${place}`, b: `b${place}` }
  const fault = FAULTS[cell.fault]
  const baseUrl = urls[cell.fault]
  server.script(names.a, typeof fault === 'string' ? { ...parsed(fault), content: WORDS.a } : fault)
  server.script(names.b, { content: WORDS.b })
  const first = `${baseUrl === undefined ? 'p' : 'unreached'}::${names.a}`
  const router = new CompletionRouter({
    providers: [server.provider('p'), { type: 'openai-compatible', name: 'unreached', baseUrl: baseUrl ?? NOBODY }],
    groups: {
      g: {
        strategy: 'first-available',
        deployments: cell.company === 'alone' ? [first] : [first, `p::${names.b}`],
      },
    },
    timeouts: { idleMs: CLOCK_MS, connectMs: CLOCK_MS },
    retry: { baseDelayMs: 0, cooldownMs: REST_MS },
  })
  const begun = performance.now()
  const { caller, attempts } = await ask(router, clocked(CALLS[cell.call]!, baseUrl === undefined ? 1 : 3))
  const time = label(performance.now() - begun)
  const requests = server.requests.filter(({ model }) => model === names.a || model === names.b)
  // What does not reach anybody is only in the call's own trail.
  const asked = attempts.map(({ deployment, startedMs }) => ({ model: deployment.split('::')[1]!, atMs: startedMs }))
  return { caller, provider: seen(baseUrl === undefined ? requests : asked), time }
}

/** The same with clocks so many times as long, lest two of them run out at once. */
function clocked({ whole, ...options }: Call, times: number): Call {
  const clocks = (['attemptMs', 'firstTokenMs'] as const).filter((name) => options[name] !== undefined)
  const longer = Object.fromEntries(clocks.map((name) => [name, options[name]! * times]))
  return { ...options, ...longer, ...(whole && { whole }) }
}

/** `stall-2` in detail. */
function parsed(word: string): object {
  const [name, number] = word.split('-')
  if (name === 'status') return { status: Number(number) }
  return { fault: name, ...(number === undefined ? {} : { afterTokens: Number(number) }) }
}

/** What the caller saw, and the trail of its call. */
async function ask(
  router: CompletionRouter,
  { whole, ...options }: Call,
): Promise<{ caller: string; attempts: readonly Attempt[] }> {
  const request = { message: 'hi' }
  try {
    if (whole) {
      const { content, attempts } = await router.invoke('g', request, options)
      return { caller: answered(content, ''), attempts }
    }
    let [text, note] = ['', '']
    const stream = router.stream('g', request, options)
    for await (const chunk of stream) {
      if (chunk.type === 'restart') [text, note] = ['', `, after \`restart\` (“${chunk.discarded.trim()}”)`]
      if (chunk.type === 'content') text += chunk.delta
    }
    return { caller: answered(text, note), attempts: (await stream.completion()).attempts }
  } catch (failure) {
    return { caller: told(failure), attempts: (failure as { attempts?: readonly Attempt[] }).attempts ?? [] }
  }
}

function answered(text: string, note: string): string {
  const name = Object.entries(WORDS).find(([, words]) => words === text)?.[0]
  if (name === undefined) throw new Error(`neither answer: ${text}`)
  return `the answer of ${name}${note}`
}

function told(failure: unknown): string {
  if (!ThrydError.is(failure)) throw failure
  if (failure instanceof InterruptedError) return `\`InterruptedError\` after “${failure.delivered.trim()}”`
  if (failure instanceof TimeoutError) return `\`TimeoutError\` (${failure.phase})`
  if (failure instanceof ProviderError)
    return `\`ProviderError\`${failure.status === undefined ? '' : ` ${failure.status}`}`
  return `\`${failure.name}\``
}

/** Whom the provider was asked for, in order, with the gaps that are longer than no time. */
function seen(requests: readonly { model: string; atMs: number }[]): string {
  return requests
    .map(({ model, atMs }, place) => {
      const gap = place === 0 ? label(0) : label(atMs - requests[place - 1]!.atMs)
      return gap === label(0) ? model[0] : `(${gap}) ${model[0]}`
    })
    .join(' ')
}

/** Rounded down to half a second, with room for a slow machine. */
function label(milliseconds: number): string {
  const halves = Math.floor((milliseconds + 100) / 500)
  return halves === 0 ? 'at once' : `${halves / 2} s`
}

/** Calls that came to the same share a row. */
function render(cells: Cell[]): string {
  const rows = new Map<string, { cell: Cell; calls: string[] }>()
  for (const cell of cells) {
    const { call, ...rest } = cell
    const key = JSON.stringify(rest)
    const row = rows.get(key) ?? { cell, calls: [] }
    row.calls.push(call)
    rows.set(key, row)
  }
  const every = Object.keys(CALLS).length
  const lines = [...rows.values()].map(({ cell, calls }) => [
    cell.fault,
    cell.company,
    calls.length === every ? 'every' : calls.join(', '),
    cell.caller,
    cell.provider,
    cell.time,
  ])
  const head = ['fault', 'deployment', 'call', 'the caller saw', 'the provider saw', 'time']
  return [head, head.map(() => '---'), ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n')
}
