/** A cache on its own: answers by key, in memory, on disk and, if given, in Redis. */

import { isUint8Array } from 'node:util/types'

import { callback, describe, encodeOptions, optional, text } from './encode'
import { mailbox, settled, settledAfter } from './mailbox'
import { type NativeCache, native } from './native'
import { valueOf } from './reply'

/** Where answers are kept, and for how long. */
export interface CacheOptions {
  /** A file, made if it is not there. Any number of processes may share it. @default memory only */
  path?: string
  /**
   * A Redis or Valkey that machines share, looked into after memory and the file: its URL, or options with one. It costs no call
   * more than a bound, and fails none; `stats()` says how it is. @default none
   */
  redis?: string | RedisCacheOptions
  /**
   * `'redis'`: equal calls of processes that share the `redis` are one request, whose answer the others wait for; a stream then
   * gets the whole answer when it is there. Only with a `redis`. @default equal calls of one router alone are one
   */
  join?: 'redis'
  /** Milliseconds that an answer is kept. @default 7 days */
  ttlMs?: number
  /** Bound of the file in bytes. @default 1 GiB */
  maxBytes?: number
  /** Bound of the part in memory, in bytes. What a router remembers of how it was asked takes up to half as much beside it. @default 64 MiB */
  memoryBytes?: number
  /**
   * `'replay'` answers from the cache alone and fails with `ERR_NOT_CACHED`, which says what is stored instead, or that the `redis`
   * could not be looked into within a second: for test suites. @default 'record'
   */
  mode?: 'record' | 'replay'
  /** Tenants that must not see each other's answers. @default '' */
  namespace?: string
  /**
   * Encrypts the file, and what is kept in Redis: 32 random bytes, or their text as 64 hexadecimal digits or as base64. A file that
   * was made with another key, or with none, is refused with `ERR_CACHE` and left as it is; in Redis, each key has answers of its
   * own. Only with a `path` or a `redis`. @default not encrypted
   */
  encryptionKey?: string | Uint8Array
}

/** Which Redis keeps answers, and how. */
export interface RedisCacheOptions {
  /**
   * `redis://[user[:password]@]host[:port][/database]`, `rediss://` over TLS; `redis+sentinel://host,…/master` for whatever these
   * Sentinels call the master of that name; `redis+cluster://host,…`, or `redis://` with several hosts, for a Cluster; both
   * over TLS as `rediss+…`. Credentials are never shown.
   */
  url: string
  /** What all keys begin with: 1 to 64 bytes, without braces. @default 'thryd' */
  prefix?: string
  /**
   * The most that a call waits for Redis at a time, in milliseconds, 1 to 10,000, and half of what is left of its `totalMs`; then
   * it does without. One that only the cache may answer waits for a second. @default 50
   */
  timeoutMs?: number
  /**
   * With `join`: how long calls of others wait for one whose process gives no sign of life, in milliseconds, 500 to 60,000.
   * @default 3000
   */
  leaseMs?: number
}

/** A cache at one moment. Counters run from its opening. */
export interface CacheStats {
  /** Answers kept on disk, or in memory if there is no file. What is in Redis is not counted. */
  entries: number
  /** What they take on disk, or in memory if there is no file. */
  bytes: number
  /**
   * The length of the file, 0 if there is none: up to twice what is kept in it, and what is unused of it may take nothing on
   * the disk. With up to 128 MiB kept, it is shortened when it has been left alone for half a minute.
   */
  fileBytes: number
  /** Answers that left the file to make room, by this process. */
  evictions: number
  /** Lookups that found an answer: the sum of the next three. Of an embedding each text is looked up. */
  hits: number
  /** Those that found it in memory. */
  memoryHits: number
  /** Those that found it on disk. */
  diskHits: number
  /** Those that found it in Redis. */
  redisHits: number
  /** Lookups that did not find one. */
  misses: number
  /** Calls that shared the call of an equal request under way, here or in another process. */
  joined: number
  /** Answers that could not be stored. They were given to their callers all the same. */
  writeErrors: number
  /** Answers that could not be read back. They were asked for anew. */
  readErrors: number
  /** Why the last write failed, or the file could not be opened, if anything went wrong. */
  lastError?: string
  /** Of Redis, if there is one. */
  redis?: RedisCacheStats
}

/** A Redis that keeps answers, at one moment. Counters are of this cache, and run from its opening. */
export interface RedisCacheStats {
  /** Where it is, without credentials. */
  url: string
  /**
   * `'idle'`: not needed yet. `'connected'`: it answers, which is also said of one that keeps nothing, as it is full or may not be
   * written: `writeErrors` counts, `lastError` says why. `'away'`: it does not answer in time, or refuses to be read, as with a
   * wrong password; calls go on without it.
   */
  status: 'idle' | 'connected' | 'away'
  /** Lookups that did without it. */
  skipped: number
  /**
   * Answers that did not get there: it was away or full, or did not keep up, or the answer is longer than 1 MiB, or what is not
   * thryd's has its place.
   */
  writeErrors: number
  /** Values that were damaged, of a newer version, sealed with another key or not thryd's: misses. */
  readErrors: number
  /** What went wrong last, if anything did. */
  lastError?: string
}

/** How far an export or an import has come. */
export interface CacheProgress {
  /** Answers that are done. */
  done: number
  /** Answers there are. */
  total: number
}

/** What an export can set. */
export interface CacheExportOptions {
  /** Only the answers of this namespace. @default all */
  namespace?: string
  /** Called now and then. What it throws ends the export, which then leaves no file. */
  onProgress?: (progress: CacheProgress) => void
}

/** What an import can set. */
export interface CacheImportOptions {
  /** Called now and then. What it throws ends the import; what was taken in stays. */
  onProgress?: (progress: CacheProgress) => void
}

/** What came of an import. */
export interface CacheImportResult {
  /** Answers that were taken in. */
  imported: number
  /** Answers that were not, because they had expired. */
  expired: number
}

/** What this module does to caches and other modules may use. */
interface Internals {
  wrap(cache: NativeCache): Cache
  unwrap(cache: Cache): NativeCache
}

let internals: Internals

/** Answers by key, for one router or for several. */
export class Cache {
  static {
    internals = { wrap: (cache) => new Cache(cache), unwrap: (cache) => cache.#native }
  }

  readonly #native: NativeCache

  private constructor(cache: NativeCache) {
    if (typeof cache !== 'object') throw new TypeError('a Cache is opened, not constructed: await Cache.open(options)')
    this.#native = cache
  }

  /**
   * Opens a cache, or joins the one that is open on the same file.
   * @param options - a path, or options
   * @throws CacheError if the file is not a cache, comes from a newer version or cannot be opened; TypeError and RangeError
   * on bad options
   */
  static async open(options: string | CacheOptions): Promise<Cache> {
    const encoded = encodeCache('options', options)
    flushAtExit()
    return await settled(
      (id) => native.NativeCache.open(mailbox, id, encoded),
      (id) => new Cache(native.NativeCache.take(mailbox, id)),
    )
  }

  /**
   * Counters, cheap enough to poll. While another process holds the file, `entries` and `bytes` are what was known last,
   * after a wait of at most 20 milliseconds.
   */
  stats(): CacheStats {
    return valueOf(this.#native.stats(), Cache.prototype.stats)
  }

  /** Removes what has expired. @returns how many */
  async prune(): Promise<number> {
    return await settled((id) => this.#native.prune(id, mailbox))
  }

  /**
   * Removes everything, or everything of one namespace. Processes that share the Redis remove what they have of it within a second
   * or two; others of the same file alone may serve it from their memory until it expires.
   * @throws CacheError if the file cannot be written, or Redis not be reached
   */
  async clear(options?: { namespace?: string }): Promise<void> {
    const { namespace, ...unknown } = optional('clear options', options) ?? {}
    refuse('clear options', unknown, 'namespace')
    const name = nameOf('clear options.namespace', namespace)
    await settled((id) => this.#native.clear(id, mailbox, name))
  }

  /**
   * Writes the answers to a file of JSON lines, sorted so that a change of one answer is a change of one line: for fixtures
   * under review. A file that is there is replaced at the end, if it is an export. Answers are not encrypted in it.
   * @returns how many answers were written
   * @throws CacheError if the file cannot be written, or is there and not an export
   */
  async export(path: string, options?: CacheExportOptions): Promise<number> {
    const { namespace, onProgress, ...unknown } = optional('export options', options) ?? {}
    refuse('export options', unknown, 'namespace, onProgress')
    const [to, name] = [text('path', path), nameOf('export options.namespace', namespace)]
    const tell = callback('export options.onProgress', onProgress)
    const isTold = tell !== undefined
    return await settledAfter(
      (id) => this.#native.export(id, mailbox, to, name, isTold),
      tell,
      (id) => this.#native.cancel(id),
    )
  }

  /**
   * Takes in the answers of an export, in the place of those with the same key. They expire when they would have expired; what
   * has expired is left out.
   * @throws CacheError if the file cannot be read, or a line of it is wrong: what stands before it was taken in
   */
  async import(path: string, options?: CacheImportOptions): Promise<CacheImportResult> {
    const { onProgress, ...unknown } = optional('import options', options) ?? {}
    refuse('import options', unknown, 'onProgress')
    const from = text('path', path)
    const tell = callback('import options.onProgress', onProgress)
    const isTold = tell !== undefined
    return await settledAfter(
      (id) => this.#native.import(id, mailbox, from, isTold),
      tell,
      (id) => this.#native.cancel(id),
    )
  }

  /** Waits until all that was stored is on disk, and in Redis or given up. @throws CacheError if it cannot be on disk */
  async flush(): Promise<void> {
    await settled((id) => this.#native.flush(id, mailbox))
  }

  /**
   * Flushes and lets go of the file. Idempotent. Not needed for the process to exit.
   * @throws CacheError if answers could not be stored since the last flush; it is closed all the same
   */
  async close(): Promise<void> {
    await settled((id) => this.#native.close(id, mailbox))
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** Complains about options that nobody knows, in the core's words: they do not cross. */
function refuse(field: string, unknown: object, known: string): void {
  for (const key of Object.keys(unknown)) {
    throw new TypeError(`${field}.${key}: expected one of the options ${known}, got an unknown name`)
  }
}

function nameOf(field: string, value: string | undefined): string | null {
  return value === undefined || value === null ? null : text(field, value)
}

/** The public face of a cache of the core. */
export function wrapCache(cache: NativeCache): Cache {
  return internals.wrap(cache)
}

/** The cache of the core behind a public face. */
export function unwrapCache(cache: Cache): NativeCache {
  return internals.unwrap(cache)
}

/** JSON of a cache's options; a path is short for `{ path }`. @throws TypeError */
export function encodeCache(field: string, cache: unknown): string {
  if (typeof cache === 'string') return encodeOptions(field, { path: cache })
  if (typeof cache !== 'object' || cache === null || typeof (cache as Cache).flush === 'function') {
    const got = typeof cache === 'object' && cache !== null ? 'a Cache of another copy of thryd' : describe(cache)
    throw new TypeError(`${field}: expected a path, CacheOptions or a Cache, got ${got}`)
  }
  return encodeOptions(field, keyAsText(cache))
}

/** The options with a key of bytes as base64, which JSON can carry. */
function keyAsText(cache: object): object {
  const key = (cache as CacheOptions).encryptionKey
  if (!isUint8Array(key)) return cache
  if (key.length !== 32) {
    throw new TypeError(`cache options.encryptionKey: expected 32 bytes, got ${key.length}`)
  }
  return { ...cache, encryptionKey: Buffer.from(key.buffer, key.byteOffset, key.length).toString('base64') }
}

/** By the place of each copy of thryd that this environment has loaded, how it writes what it holds back. */
type Flushes = Map<string, () => void>

const FLUSHES = Symbol.for('thryd.flushes')

/**
 * From the first cache on, what is not on disk yet is written when the process exits. One listener for all copies, and for a
 * copy that is loaded again and again, as test runners do: Node warns of a leak at the eleventh.
 */
export function flushAtExit(): void {
  const shared = process as { [FLUSHES]?: Flushes }
  if (shared[FLUSHES] === undefined) {
    const flushes: Flushes = new Map()
    Object.defineProperty(process, FLUSHES, { value: flushes })
    process.once('exit', () => {
      for (const flush of flushes.values()) flush()
    })
  }
  // Not there in a bundle of modules, which is one copy.
  const copy = typeof __filename === 'string' ? __filename : ''
  shared[FLUSHES]?.set(copy, () => native.flushAll())
}
