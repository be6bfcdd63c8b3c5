/** thryd: an LLM request router that lives inside your process. */

export { Cache } from './cache'
export type {
  CacheExportOptions,
  CacheImportOptions,
  CacheImportResult,
  CacheOptions,
  CacheProgress,
  CacheStats,
  RedisCacheOptions,
  RedisCacheStats,
} from './cache'
export type { Completion, CompletionChunk, CompletionRequest } from './completion'
export type { EmbeddingRequest, Embeddings } from './embedding'
export {
  CacheError,
  ExhaustedError,
  InterruptedError,
  ProviderError,
  RateLimitError,
  ThrydError,
  TimeoutError,
} from './errors'
export type { ErrorCode, ErrorDetails } from './errors'
export type { Fault, FaultShares } from './faults'
export type {
  BatchOptions,
  BatchProgress,
  DeployOptions,
  GroupOptions,
  InvokeOptions,
  RedisLimitsOptions,
  RetryOptions,
  RouterOptions,
  StreamOptions,
  Strategy,
  Timeouts,
} from './options'
export type { CustomProvider, DummyOptions, ProviderOptions, ProviderType } from './provider'
export type { Ranking, RerankRequest } from './rerank'
export type { ModelResponse, ResponsesRequest } from './response'
export { CompletionRouter, EmbeddingRouter, RerankRouter, ResponsesRouter, Router } from './router'
export type { Attempt, Served, Usage } from './served'
export type { DeploymentStats, RedisLimitsStats, RouterStats } from './stats'
export type { CompletionStream, ResponsesStream } from './stream'
export { UsageTracker, countTokens, countTokensAsync } from './tokens'
