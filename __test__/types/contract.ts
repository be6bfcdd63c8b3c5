/**
 * Uses every name of the public contract against the shipped typings. Never run: that it compiles is the test, under `strict`
 * and `exactOptionalPropertyTypes`, for `nodenext` and for `bundler` (`npm run check`).
 */

import {
  type Attempt,
  type BatchOptions,
  Cache,
  CacheError,
  type CacheOptions,
  type Completion,
  type CompletionChunk,
  type CompletionRequest,
  CompletionRouter,
  type CompletionStream,
  type CustomProvider,
  type DeployOptions,
  type DeploymentStats,
  type DummyOptions,
  type EmbeddingRequest,
  EmbeddingRouter,
  type Embeddings,
  type ErrorCode,
  ExhaustedError,
  type GroupOptions,
  InterruptedError,
  type InvokeOptions,
  ProviderError,
  type ProviderOptions,
  type ProviderType,
  type Ranking,
  RateLimitError,
  type RerankRequest,
  RerankRouter,
  type RetryOptions,
  Router,
  type RouterOptions,
  type RouterStats,
  type Served,
  type Strategy,
  type StreamOptions,
  ThrydError,
  TimeoutError,
  type Timeouts,
  type Usage,
  UsageTracker,
  countTokens,
  countTokensAsync,
} from 'thryd'

const types: Record<ProviderType, true> = {
  openai: true,
  'openai-compatible': true,
  azure: true,
  anthropic: true,
  gemini: true,
  mistral: true,
  groq: true,
  deepseek: true,
  xai: true,
  together: true,
  fireworks: true,
  openrouter: true,
  perplexity: true,
  cohere: true,
  jina: true,
  voyage: true,
  tei: true,
  ollama: true,
  lmstudio: true,
  vllm: true,
  dummy: true,
}
const strategies: Record<Strategy, true> = {
  'first-available': true,
  'round-robin': true,
  'least-loaded': true,
  weighted: true,
  'lowest-latency': true,
}
const codes: Record<ErrorCode, true> = {
  ERR_NO_GROUP: true,
  ERR_NO_PROVIDER: true,
  ERR_UNSUPPORTED: true,
  ERR_RATE_LIMITED: true,
  ERR_TOO_LARGE: true,
  ERR_TIMEOUT: true,
  ERR_PROVIDER: true,
  ERR_INTERRUPTED: true,
  ERR_EXHAUSTED: true,
  ERR_NOT_CACHED: true,
  ERR_CACHE: true,
  ERR_CLOSED: true,
  ERR_NATIVE: true,
  ERR_BUG: true,
}

const dummy: DummyOptions = {
  cache: true,
  responses: ['Hi', { choices: [] }, { error: { status: 429, message: 'busy', retryAfterMs: 5 } }],
  repeat: true,
  latencyMs: [1, 2],
  tokenIntervalMs: 1,
  faults: { status: { 500: 0.1 }, reset: 0.1, hang: 0.1, cut: 0.1, malformed: 0.1 },
  dimensions: 8,
  seed: 1,
}
const provider: ProviderOptions = {
  type: 'dummy',
  name: 'd',
  apiKey: 'k',
  baseUrl: 'http://127.0.0.1',
  headers: { a: 'b' },
  allowInsecureHttp: true,
  rpm: 60,
  tpm: 1000,
  maxConcurrent: 4,
  dummy,
}
const promised: CustomProvider = {
  name: 'mine',
  rpm: 60,
  tpm: 1000,
  maxConcurrent: 4,
  complete: async ({ model, message }, { signal }) => (signal.aborted ? '' : `${model} ${message}`),
  embed: async ({ input }) => [input].flat().map(() => [1, 2]),
  rerank: async ({ documents }) => documents.map((_, index) => ({ index, score: 1 })),
}
const pieced: CustomProvider = {
  name: 'pieces',
  async *complete() {
    yield 'Hi'
    yield { choices: [] }
  },
  embed: async () => [new Float32Array(2)],
}
const deployOptions: DeployOptions = {
  rpm: 60,
  tpm: 1000,
  maxConcurrent: 4,
  weight: 1,
  cacheAs: 'gpt-4o',
  contextWindow: 8192,
  price: { prompt: 1, completion: 2, cachedPrompt: 0.5 },
}
const groupOptions: GroupOptions = { strategy: 'weighted', fallbacks: ['other'] }
const retry: RetryOptions = {
  maxRetries: 3,
  baseDelayMs: 1,
  maxDelayMs: 2,
  budget: 0.2,
  cooldownMs: 5,
  hedgeQuantile: 0.9,
}
const timeouts: Timeouts = { connectMs: 1, firstTokenMs: 1, idleMs: 1, attemptMs: 1, totalMs: 1, queueMs: 0 }
const cacheOptions: CacheOptions = {
  path: './x.redb',
  redis: 'redis://localhost',
  ttlMs: 1,
  maxBytes: 1,
  memoryBytes: 1,
  mode: 'replay',
  namespace: 'a',
}
const options: RouterOptions = {
  providers: [provider, promised, pieced],
  groups: { default: { ...groupOptions, deployments: ['d::m', { model: 'd::n', ...deployOptions }] } },
  cache: cacheOptions,
  limits: { redis: 'redis://localhost' },
  retry,
  timeouts,
}
export const invokeOptions: InvokeOptions = {
  ...timeouts,
  signal: new AbortController().signal,
  cache: 'only-if-cached',
  cacheTtlMs: 1,
  namespace: 'a',
  priority: 1,
}
export const streamOptions: StreamOptions = { ...invokeOptions, onInterrupt: 'restart', buffer: true }
const batchOptions: BatchOptions = {
  ...invokeOptions,
  concurrency: 64,
  onProgress: ({ done, failed, cached, total, etaMs, ...rest }) =>
    void (done + failed + cached + rest.tokens + (total ?? 0) + (etaMs ?? 0)),
}

const request: CompletionRequest = {
  message: 'Hi',
  messages: [
    { role: 'user', content: [{ type: 'text', text: 'Hi' }], name: 'a' },
    { role: 'assistant', content: null },
  ],
  temperature: 0.7,
  top_p: 1,
  max_completion_tokens: 200,
  presence_penalty: 0,
  frequency_penalty: 0,
  stop: ['\n'],
  seed: 1,
  tools: [{}],
  tool_choice: 'auto',
  response_format: { type: 'json_object' },
  reasoning_effort: 'low',
  top_k: 5,
}
const embeddingRequest: EmbeddingRequest = { input: ['a', 'b'], dimensions: 8, encoding_format: 'base64' }
const rerankRequest: RerankRequest = { query: 'q', documents: ['a'], top_n: 1, return_documents: false }

export async function routers(): Promise<void> {
  const router = new CompletionRouter(options)
  const base: Router<CompletionRequest, Completion> = router
  const chained: CompletionRouter = router
    .addProvider(provider)
    .addProvider(promised)
    .deploy('default', 'd::m', deployOptions)
    .configureGroup('default', groupOptions)
  const gone: boolean[] = [
    chained.removeProvider('d'),
    chained.undeploy('default', 'd::m'),
    chained.removeGroup('default'),
  ]
  const names: string[] = router.groups()
  const mounted: CompletionRouter = await router.mountCache('./x.redb')
  await mounted.mountCache(await Cache.open(cacheOptions))
  const cache: Cache | undefined = router.cache
  const wait: number = router.estimateWaitMs('default', request)
  await base.close()
  await using disposed = new RerankRouter()
  void [gone, names, cache, wait, disposed]
}

export async function answers(router: CompletionRouter): Promise<void> {
  const answer: Completion = await router.invoke('default', request, invokeOptions)
  const text: string = `${answer}` + answer.toString() + answer.content + answer.finishReason
  const calls: { id: string; name: string; arguments: string }[] = answer.toolCalls
  const raw: unknown = answer.raw
  served(answer)
  for await (const item of router.invokeMany('default', [request], batchOptions)) {
    if (item instanceof ThrydError) failures(item)
    else served(item)
  }
  const embeddings: Embeddings = await new EmbeddingRouter(options).invoke('default', embeddingRequest)
  const vectors: Float32Array[] = embeddings.vectors
  const ranking: Ranking = await new RerankRouter().invoke('default', rerankRequest)
  const results: { index: number; score: number }[] = ranking.results
  served(embeddings)
  served(ranking)
  void [text, calls, raw, vectors, results]
}

function served(answer: Served): void {
  const { model, cache, latencyMs, queuedMs, queuePosition } = answer
  const usage: Usage = answer.usage
  const { promptTokens, completionTokens, totalTokens, cachedPromptTokens, reasoningTokens, cost } = usage
  const estimated: true | undefined = usage.estimated
  const attempts: Attempt[] = answer.attempts
  for (const { deployment, startedMs, durationMs, outcome, status, message } of attempts) {
    const how:
      | 'ok'
      | 'rate-limited'
      | 'transient'
      | 'silent'
      | 'truncated'
      | 'auth'
      | 'quota'
      | 'too-long'
      | 'rejected'
      | 'cancelled' = outcome
    void [deployment, startedMs, durationMs, how, status, message]
  }
  const where: 'memory' | 'disk' | 'redis' | 'joined' | 'miss' | 'off' = cache
  void [answer.deployment, model, where, latencyMs, queuedMs, queuePosition, estimated]
  void [promptTokens, completionTokens, totalTokens, cachedPromptTokens, reasoningTokens, cost]
}

export async function streams(router: CompletionRouter): Promise<string> {
  const stream: CompletionStream = router.stream('default', request, streamOptions)
  let text = ''
  for await (const chunk of stream) text += pieceOf(chunk)
  const whole: Completion = await stream.completion()
  return text + whole.content
}

export function pieceOf(chunk: CompletionChunk): string {
  switch (chunk.type) {
    case 'content':
    case 'reasoning':
      return chunk.delta
    case 'tool-call':
      return `${chunk.index} ${chunk.id ?? ''} ${chunk.name ?? ''} ${chunk.arguments}`
    case 'restart':
      return chunk.discarded + chunk.deployment
  }
}

export function state(router: EmbeddingRouter): void {
  const stats: RouterStats = router.stats()
  const { inFlight, waiting, groups, cache } = stats
  const hits: number | undefined = cache?.hits
  for (const group of Object.values(groups)) {
    const deployments: DeploymentStats[] = group.deployments
    for (const each of deployments) {
      const { model, window, limits, succeeded, failed, promptTokens, completionTokens, cost, circuit } = each
      const numbers: number[] = [
        window.requests,
        window.tokens,
        succeeded,
        failed,
        promptTokens,
        completionTokens,
        cost,
      ]
      const quantiles: number[] = [each.latencyMs.p50, each.latencyMs.p95, each.latencyMs.p99, each.firstTokenMs.p50]
      const bounds: (number | undefined)[] = [limits.rpm, limits.tpm, limits.maxConcurrent]
      const learned: (number | undefined)[] = [each.learned.rpm, each.learned.tpm]
      const ignored: number = each.ignoredHeaders
      const how: 'closed' | 'open' | 'half-open' = circuit
      const why: 'rate-limited' | 'quota' | 'auth' | 'transient' | 'silent' | 'truncated' | undefined = each.restReason
      void [
        model,
        numbers,
        quantiles,
        bounds,
        learned,
        ignored,
        how,
        each.restMs,
        why,
        each.restError,
        each.rampLimit,
        each.lastError,
        each.inFlight,
        group.waiting,
      ]
    }
  }
  for (const account of Object.values(stats.providers ?? {})) {
    const spent: number[] = [account.inFlight, account.window.requests, account.window.tokens]
    const { rpm, tpm, maxConcurrent } = account.limits
    void [spent, rpm, tpm, maxConcurrent]
  }
  void [inFlight, waiting, hits]
}

export async function tokens(): Promise<void> {
  const counts: number[] = [
    countTokens('Hi'),
    countTokens(request.messages, 'gpt-4o'),
    await countTokensAsync('Hi', 'o200k_base'),
  ]
  const tracker = new UsageTracker({ rpm: 1, tpm: 2 })
  const wait: number = tracker.tryAcquire() + tracker.tryAcquire(5)
  tracker.settle(5, 4)
  const left: { requests: number; tokens: number } = tracker.remaining()
  void [counts, wait, left]
}

export function failures(error: unknown): void {
  if (!ThrydError.is(error)) return
  const known: boolean = codes[error.code] && error.retryable
  const attempts: Attempt[] = error.attempts
  if (error instanceof RateLimitError) void (error.retryAfterMs + 1)
  if (error instanceof TimeoutError) {
    const phase: 'queue' | 'connect' | 'firstToken' | 'idle' | 'attempt' | 'total' = error.phase
    void phase
  }
  if (error instanceof ProviderError) {
    const { status, deployment, body, requestId } = error
    void [status, deployment, body, requestId]
  }
  if (error instanceof InterruptedError) void error.delivered.length
  if (TimeoutError.is(error)) void error.phase.length
  const { is } = ThrydError
  if (is(error)) void error.code
  if (error instanceof ExhaustedError) for (const each of error.errors) failures(each)
  if (error instanceof CacheError) void error.message
  void [known, attempts, types, strategies]
}
