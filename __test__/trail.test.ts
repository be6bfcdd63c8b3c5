import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

import fc from 'fast-check'
import { type Behaviour, FaultServer, type LoggedRequest } from 'thryd/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import {
  type Attempt,
  type Completion,
  CompletionRouter,
  EmbeddingRouter,
  ExhaustedError,
  InterruptedError,
  ProviderError,
  type ProviderOptions,
  RateLimitError,
  type RouterOptions,
  type StreamOptions,
  ThrydError,
  TimeoutError,
} from '..'
import { always, outcomes } from './support/attempts'
import { caught, collected } from './support/caught'

const key = 'sk-proj-8hK3rQ0yZ5nO2qS9'

let server: FaultServer
// One for each test: what an earlier test gave up may still be on its way.
beforeEach(async () => {
  server = await FaultServer.start()
})
afterEach(() => server.close())

/** A router whose deployments `faulty::a`, `faulty::b`, ... do as the scripts say and are tried in their order. */
function routed(scripts: Behaviour[][], options: RouterOptions = {}): CompletionRouter {
  const router = new CompletionRouter({ retry: { baseDelayMs: 0, cooldownMs: 1 }, ...options })
  router.addProvider({ ...server.provider(), apiKey: key })
  for (const [place, script] of scripts.entries()) {
    const model = 'abc'.charAt(place)
    server.script(model, script)
    router.deploy('default', `faulty::${model}`)
  }
  return router.configureGroup('default', { strategy: 'first-available' })
}

const hi = { message: 'one two three four' }
const invoke = (router: CompletionRouter, options = {}) => router.invoke('default', hi, options)
const read = (router: CompletionRouter, options = {}) => collected(router.stream('default', hi, options))

interface Row {
  call: () => Promise<unknown>
  type: new (...parts: never[]) => ThrydError
  code: string
  retryable: boolean
  attempts: string[]
  /** Exactly, or the bounds of what is left of it. */
  retryAfterMs?: [number, number]
  phase?: TimeoutError['phase']
  message?: RegExp
}

describe('what an error says of its call', () => {
  let mute: Server
  const sockets: Socket[] = []
  beforeAll(async () => {
    // Accepts, and says nothing, so that no TLS session comes about.
    mute = createServer((socket) => void sockets.push(socket.on('error', () => undefined)))
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  })
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy()
  })
  afterAll(() => mute.close())

  const unreachable = (): CompletionRouter => {
    const baseUrl = `https://127.0.0.1:${(mute.address() as AddressInfo).port}/v1`
    const router = new CompletionRouter({ retry: { maxRetries: 0 } })
    return router.addProvider({ type: 'openai-compatible', name: 'mute', baseUrl }).deploy('default', 'mute::m')
  }
  const busy = async (options: object): Promise<unknown> => {
    const router = routed([['hang']])
    router.deploy('default', 'faulty::a', { maxConcurrent: 1 })
    const other = new AbortController()
    const before = caught(router.invoke('default', { message: 'before it' }, { signal: other.signal }))
    await server.waitFor(() => server.counts.requests === 1)
    return await invoke(router, options).finally(async () => {
      other.abort()
      await before
    })
  }
  const once: RouterOptions = { retry: { maxRetries: 0 } }
  const closed = async (): Promise<unknown> => {
    const router = routed([[]])
    await router.close()
    return await invoke(router)
  }
  const overloaded: Behaviour = { status: 429, retryAfterMs: 60_000 }

  const rows: Record<string, Row> = {
    'a refusal': {
      call: () => invoke(routed([['status-400'], []])),
      type: ProviderError,
      code: 'ERR_PROVIDER',
      retryable: false,
      attempts: ['rejected 400'],
    },
    'a dead key': {
      call: () => invoke(routed([['status-401']], once)),
      type: ProviderError,
      code: 'ERR_PROVIDER',
      retryable: false,
      attempts: ['auth 401'],
    },
    'an overloaded server that says when to come back': {
      call: () => invoke(routed([[{ status: 503, retryAfterMs: 5000 }]], once)),
      type: ProviderError,
      code: 'ERR_PROVIDER',
      retryable: true,
      retryAfterMs: [5000, 5000],
      attempts: ['transient 503'],
    },
    'a limit of the provider': {
      call: () => invoke(routed([[overloaded]])),
      type: RateLimitError,
      code: 'ERR_RATE_LIMITED',
      retryable: true,
      retryAfterMs: [29_000, 60_000],
      attempts: ['rate-limited 429'],
    },
    'a limit of its own': {
      call: async () => {
        const router = routed([[]])
        router.deploy('default', 'faulty::a', { rpm: 1 })
        await router.invoke('default', { message: 'the first' })
        return await invoke(router, { queueMs: 0 })
      },
      type: RateLimitError,
      code: 'ERR_RATE_LIMITED',
      retryable: true,
      retryAfterMs: [50_000, 61_000],
      attempts: [],
    },
    'no room in time': {
      call: () => busy({ queueMs: 30 }),
      type: TimeoutError,
      code: 'ERR_TIMEOUT',
      phase: 'queue',
      retryable: true,
      attempts: [],
    },
    'no connection in time': {
      call: () => invoke(unreachable(), { connectMs: 50 }),
      type: TimeoutError,
      code: 'ERR_TIMEOUT',
      phase: 'connect',
      retryable: true,
      attempts: ['silent'],
      message: /mute::m/,
    },
    'no first token in time': {
      call: () => read(routed([['hang']], once), { firstTokenMs: 50 }),
      type: TimeoutError,
      code: 'ERR_TIMEOUT',
      phase: 'firstToken',
      retryable: true,
      attempts: ['silent'],
      message: /faulty::a/,
    },
    'no next token in time': {
      call: () => read(routed([['stall-2']], once), { idleMs: 1000, buffer: true }),
      type: TimeoutError,
      code: 'ERR_TIMEOUT',
      phase: 'idle',
      retryable: true,
      attempts: ['silent 200'],
      message: /faulty::a/,
    },
    'an attempt that takes too long': {
      call: () => invoke(routed([['hang']], once), { attemptMs: 50 }),
      type: TimeoutError,
      code: 'ERR_TIMEOUT',
      phase: 'attempt',
      retryable: true,
      attempts: ['silent'],
      message: /faulty::a/,
    },
    'a call that takes too long': {
      call: () => invoke(routed([['status-503', 'hang']]), { totalMs: 2000 }),
      type: TimeoutError,
      code: 'ERR_TIMEOUT',
      phase: 'total',
      retryable: true,
      attempts: ['transient 503', 'silent'],
    },
    'a stream that is cut': {
      call: () => read(routed([['cut-2'], []])),
      type: InterruptedError,
      code: 'ERR_INTERRUPTED',
      retryable: true,
      attempts: ['truncated 200'],
      message: /faulty::a/,
    },
    'a stream that stalls': {
      call: () => read(routed([['stall-2'], []]), { idleMs: 1000 }),
      type: InterruptedError,
      code: 'ERR_INTERRUPTED',
      phase: 'idle',
      retryable: true,
      attempts: ['silent 200'],
      message: /faulty::a/,
    },
    'failures of all': {
      call: () => invoke(routed([always('status-503'), ['status-401']])),
      type: ExhaustedError,
      code: 'ERR_EXHAUSTED',
      retryable: true,
      attempts: ['transient 503', 'transient 503', 'auth 401'],
    },
    'failures of all that no time mends': {
      call: () => invoke(routed([['status-401'], ['status-403']])),
      type: ExhaustedError,
      code: 'ERR_EXHAUSTED',
      retryable: false,
      attempts: ['auth 401', 'auth 403'],
    },
    'a dummy without further answers': {
      call: () => {
        const dummy: ProviderOptions = { type: 'dummy', dummy: { responses: [] } }
        return new CompletionRouter({ providers: [dummy] }).deploy('default', 'dummy::m').invoke('default', hi)
      },
      type: ExhaustedError,
      code: 'ERR_EXHAUSTED',
      retryable: false,
      attempts: ['rejected'],
    },
    'a request that can never fit': {
      call: () => {
        const router = routed([[]])
        return invoke(router.deploy('default', 'faulty::a', { contextWindow: 2 }))
      },
      type: ThrydError,
      code: 'ERR_TOO_LARGE',
      retryable: false,
      attempts: [],
    },
    'a group that is not there': {
      call: () => routed([[]]).invoke('nowhere', hi),
      type: ThrydError,
      code: 'ERR_NO_GROUP',
      retryable: false,
      attempts: [],
    },
    'an answer that is not in the cache': {
      call: () => invoke(routed([[]], { cache: {} }), { cache: 'only-if-cached' }),
      type: ThrydError,
      code: 'ERR_NOT_CACHED',
      retryable: false,
      attempts: [],
    },
    'a closed router': { call: closed, type: ThrydError, code: 'ERR_CLOSED', retryable: false, attempts: [] },
    'a provider of another kind': {
      call: async () =>
        new EmbeddingRouter({ providers: [{ name: 'mine', complete: async () => '' }] }).deploy('default', 'mine::m'),
      type: ThrydError,
      code: 'ERR_UNSUPPORTED',
      retryable: false,
      attempts: [],
    },
  }

  test.each(Object.keys(rows))('%s', async (name) => {
    const { call, type, code, retryable, attempts, retryAfterMs, phase, message = /./ } = rows[name] as Row
    const error = (await caught(call())) as unknown as ThrydError & { retryAfterMs?: number; phase?: string }
    expect(error).toBeInstanceOf(type)
    expect(error).toMatchObject({ name: type.prototype.name, code, retryable })
    expect(outcomes(error.attempts)).toEqual(attempts)
    expect(error.message).toMatch(message)
    expect(error.phase).toBe(phase)
    const [least, most] = retryAfterMs ?? []
    const { retryAfterMs: said } = error
    const isRight = least === undefined ? said === undefined : Number(said) >= least && Number(said) <= Number(most)
    expect(isRight, `retryAfterMs is ${said}`).toBe(true)
    for (const attempt of error.attempts) expect(attempt.message).toMatch(/./)
  })

  test('names the deployment whose clock ran out', async () => {
    expect(await caught(invoke(routed([['hang']], once), { attemptMs: 50 }))).toMatchObject({ deployment: 'faulty::a' })
    expect(await caught(busy({ queueMs: 30 }))).not.toHaveProperty('deployment')
  })
})

describe('the errors of an ExhaustedError', () => {
  test('are those of its attempts, in order, each of its class', async () => {
    const later: Behaviour = { status: 429, retryAfterMs: 120_000 }
    const router = routed([['status-503', { status: 503, retryAfterMs: 90_000 }], [later], ['hang']])
    const error = (await caught(invoke(router, { attemptMs: 1500 }))) as unknown as ExhaustedError
    expect(error).toBeInstanceOf(ExhaustedError)
    expect(outcomes(error.attempts)).toEqual(['transient 503', 'transient 503', 'rate-limited 429', 'silent'])
    expect(error.errors).toMatchObject([
      { name: 'ProviderError', status: 503, deployment: 'faulty::a', retryable: true },
      { name: 'ProviderError', status: 503, deployment: 'faulty::a', retryable: true, retryAfterMs: 90_000 },
      { name: 'ProviderError', status: 429, deployment: 'faulty::b', retryable: true, retryAfterMs: 120_000 },
      { name: 'TimeoutError', phase: 'attempt', deployment: 'faulty::c', retryable: true },
    ])
    expect(error.errors[0]).not.toHaveProperty('retryAfterMs')
    // When the first of them wants to be asked again.
    expect(error.retryAfterMs).toBe(90_000)
    const classes = [ProviderError, ProviderError, ProviderError, TimeoutError]
    for (const [place, each] of error.errors.entries()) {
      expect(each).toBeInstanceOf(classes[place])
      expect(each).toBeInstanceOf(ThrydError)
      expect(each.attempts).toEqual([error.attempts[place]])
    }
  })
})

describe('the trail of any call', () => {
  const faults = fc.constantFrom<Behaviour>(
    'ok',
    'status-400',
    'status-401',
    { status: 429, retryAfterMs: 20 },
    'status-500',
    'status-503',
    'reset',
    'close',
    'cut-2',
    'end-2',
    'malformed-1',
    'errorEvent-2',
    'html',
    'empty',
    { status: 500, body: { error: { message: `died on ${key}` } } },
    { status: 403, body: `who is ${key}?` },
  )
  const scripts = fc.array(fc.array(faults, { maxLength: 4 }), { minLength: 1, maxLength: 3 })
  const calls: Record<string, (router: CompletionRouter) => Promise<Completion>> = {
    invoke: (router) => router.invoke('default', hi),
    'invoke with a clock': (router) => router.invoke('default', hi, { firstTokenMs: 10_000 }),
    ...Object.fromEntries(
      ([{}, { buffer: true }, { onInterrupt: 'restart' }] satisfies StreamOptions[]).map((options) => [
        `stream ${JSON.stringify(options)}`,
        async (router: CompletionRouter) => {
          const stream = router.stream('default', hi, options)
          await collected(stream)
          return await stream.completion()
        },
      ]),
    ),
  }

  test('is what the server saw, in its order, and has no key in it', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(scripts, fc.constantFrom(...Object.keys(calls)), async (script, name) => {
        server.reset()
        const router = routed(script, { retry: { baseDelayMs: 0, cooldownMs: 1, maxDelayMs: 50, maxRetries: 4 } })
        const from = performance.now()
        const end = await (calls[name] as (typeof calls)[string])(router).then(
          (answer) => ({ answer, attempts: answer.attempts, error: undefined }),
          (error: ThrydError) => ({ answer: undefined, attempts: error.attempts, error }),
        )
        const took = performance.now() - from
        const { answer, attempts, error } = end
        expect(error === undefined || ThrydError.is(error)).toBe(true)

        // One for each request, in the order in which they were sent.
        const isGood = (place: number): boolean => answer !== undefined && place === attempts.length - 1
        const seen = ({ model, status }: LoggedRequest, place: number): unknown =>
          isGood(place) ? [`faulty::${model}`] : [`faulty::${model}`, status]
        const said = ({ deployment, status }: Attempt, place: number): unknown =>
          isGood(place) ? [deployment] : [deployment, status]
        expect(attempts.map(said)).toEqual(server.requests.map(seen))

        // In time: each begins where the one before has ended, or later.
        let before = 0
        for (const { startedMs, durationMs } of attempts) {
          expect(startedMs).toBeGreaterThanOrEqual(before - 1)
          expect(durationMs).toBeGreaterThanOrEqual(0)
          before = startedMs + durationMs
        }
        expect(before).toBeLessThanOrEqual(took + 1)

        // Only the last one can be good, and is if there is an answer.
        expect(attempts.map(({ outcome }) => outcome === 'ok')).toEqual(attempts.map((_, place) => isGood(place)))
        expect(attempts.at(-1)?.deployment).toBe(answer?.deployment ?? attempts.at(-1)?.deployment)
        expect(attempts.map(({ outcome, message }) => (outcome === 'ok') === (message === undefined))).not.toContain(
          false,
        )

        const errors = error instanceof ExhaustedError ? error.errors : undefined
        expect(errors?.flatMap((each) => each.attempts) ?? attempts).toEqual(attempts)
        expect(errors?.some(({ retryable }) => retryable) ?? error?.retryable).toBe(error?.retryable)
        expect(JSON.stringify([attempts, error, error?.message, errors])).not.toContain(key.slice(3))
        await router.close()
      }),
      { numRuns: 60, seed: 5 },
    )
  })
})
