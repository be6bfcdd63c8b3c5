/** Uses every name of the cache against the shipped typings. Never run, as `contract.ts`. */

import {
  Cache,
  type CacheExportOptions,
  type CacheImportOptions,
  type CacheImportResult,
  type CacheProgress,
} from 'thryd'

export async function caches(): Promise<void> {
  await using cache = await Cache.open('./x.redb')
  const { entries, bytes, hits, misses, joined, writeErrors } = cache.stats()
  const byTier: number = cache.stats().memoryHits + cache.stats().diskHits
  const removed: number = await cache.prune()
  await cache.clear()
  await cache.clear({ namespace: 'a' })
  const exportOptions: CacheExportOptions = { namespace: 'a', onProgress: ({ done, total }) => void (done / total) }
  const written: number = await cache.export('./x.jsonl', exportOptions)
  const importOptions: CacheImportOptions = { onProgress: (progress: CacheProgress) => void progress.done }
  const { imported, expired }: CacheImportResult = await cache.import('./x.jsonl', importOptions)
  await cache.flush()
  await cache.close()
  void [byTier, written + imported + expired]
  void [entries + bytes + hits + misses + joined + writeErrors, removed]
}
