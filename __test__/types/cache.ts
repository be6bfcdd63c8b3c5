/** Uses every name of the cache against the shipped typings. Never run, as `contract.ts`. */

import {
  Cache,
  type CacheExportOptions,
  type CacheImportOptions,
  type CacheImportResult,
  type CacheOptions,
  type CacheProgress,
  type RedisCacheOptions,
  type RedisCacheStats,
} from 'thryd'

export async function caches(): Promise<void> {
  await using cache = await Cache.open('./x.redb')
  const { entries, bytes, hits, misses, joined, writeErrors } = cache.stats()
  const byTier: number = cache.stats().memoryHits + cache.stats().diskHits + cache.stats().redisHits
  const redis: RedisCacheOptions = { url: 'redis://host', prefix: 'a', timeoutMs: 50, leaseMs: 3000 }
  const shared: CacheOptions = { redis, join: 'redis' }
  const there: RedisCacheStats | undefined = cache.stats().redis
  const status: 'idle' | 'connected' | 'away' | undefined = there?.status
  const removed: number = await cache.prune()
  await cache.clear()
  await cache.clear({ namespace: 'a' })
  const exportOptions: CacheExportOptions = { namespace: 'a', onProgress: ({ done, total }) => void (done / total) }
  const written: number = await cache.export('./x.jsonl', exportOptions)
  const importOptions: CacheImportOptions = { onProgress: (progress: CacheProgress) => void progress.done }
  const { imported, expired }: CacheImportResult = await cache.import('./x.jsonl', importOptions)
  await cache.flush()
  await cache.close()
  void [byTier, written + imported + expired, shared, status]
  void [entries + bytes + hits + misses + joined + writeErrors, removed]
}
