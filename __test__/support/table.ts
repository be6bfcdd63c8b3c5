/** What each fault comes to, seen from both ends of a real socket: the rows of the table in docs/failures.md. */

import { CompletionRouter, InterruptedError, ProviderError, ThrydError, TimeoutError, type StreamOptions } from '../..'
import { FaultServer, type Behaviour, type LoggedRequest } from '../../js/testing'

/** Far enough apart that a slow machine does not blur them. */
const CLOCK_MS = 500
const REST_MS = 1250

const error = (code: string, message: string) => ({ error: { code, message, type: code } })

/** By the name that the table gives it. */
const FAULTS: Record<string, Behaviour> = {
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
}

const CALLS: Record<string, StreamOptions & { whole?: true }> = {
  invoke: { whole: true, attemptMs: CLOCK_MS },
  'invoke with firstTokenMs': { whole: true, firstTokenMs: CLOCK_MS },
  stream: { firstTokenMs: CLOCK_MS },
  buffered: { firstTokenMs: CLOCK_MS, buffer: true },
  restart: { firstTokenMs: CLOCK_MS, onInterrupt: 'restart' },
}

/** The answers of the two deployments; the first is never heard to its end. */
const WORDS = { a: 'one two three four', b: 'five six seven eight' }

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
  const cells = Object.keys(FAULTS).flatMap((fault) =>
    ['alone', 'with another'].flatMap((company) => Object.keys(CALLS).map((call) => ({ fault, company, call }))),
  )
  const done: Cell[] = []
  const todo = cells.entries()
  const worker = async () => {
    for (const [place, cell] of todo) done[place] = { ...cell, ...(await run(server, place, cell)) }
  }
  await Promise.all(Array.from({ length: 16 }, worker))
  return render(done)
}

/** One call to deployments of its own. */
async function run(server: FaultServer, place: number, cell: Pick<Cell, 'fault' | 'company' | 'call'>) {
  const names = { a: `a${place}`, b: `b${place}` }
  const fault = FAULTS[cell.fault]!
  server.script(names.a, typeof fault === 'string' ? { ...parsed(fault), content: WORDS.a } : fault)
  server.script(names.b, { content: WORDS.b })
  const models = cell.company === 'alone' ? [names.a] : [names.a, names.b]
  const router = new CompletionRouter({
    providers: [server.provider('p')],
    groups: { g: { strategy: 'first-available', deployments: models.map((model) => `p::${model}`) } },
    timeouts: { idleMs: CLOCK_MS },
    retry: { baseDelayMs: 0, cooldownMs: REST_MS },
  })
  const begun = performance.now()
  const caller = await ask(router, CALLS[cell.call]!)
  const time = label(performance.now() - begun)
  const requests = server.requests.filter(({ model }) => model === names.a || model === names.b)
  return { caller, provider: seen(requests), time }
}

/** `stall-2` in detail. */
function parsed(word: string): object {
  const [name, number] = word.split('-')
  if (name === 'status') return { status: Number(number) }
  return { fault: name, ...(number === undefined ? {} : { afterTokens: Number(number) }) }
}

/** What the caller saw. */
async function ask(router: CompletionRouter, { whole, ...options }: StreamOptions & { whole?: true }): Promise<string> {
  const request = { message: 'hi' }
  try {
    if (whole) return answered((await router.invoke('g', request, options)).content, '')
    let [text, note] = ['', '']
    for await (const chunk of router.stream('g', request, options)) {
      if (chunk.type === 'restart') [text, note] = ['', `, after \`restart\` (“${chunk.discarded.trim()}”)`]
      if (chunk.type === 'content') text += chunk.delta
    }
    return answered(text, note)
  } catch (failure) {
    return told(failure)
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
function seen(requests: LoggedRequest[]): string {
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
