/**
 * The private binding: what the Rust core gives this face, and how it is loaded. Nothing here is public. Calls cross as
 * JSON text; failures cross as data (`errors.ts` makes errors of them); what settles later comes by mail (`mailbox.ts`).
 */

import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

import { demandWhole } from './executable'
import { INSTALLED } from './installed'
import type { Letter } from './letter'
import type { Spoken } from './spelling'
import { VERSION } from './version'

/** JSON of `{"ok": value}` or `{"err": Failure}`. */
export type Reply = string

/** Where everything that settles later arrives; one per environment. */
export interface NativeMailbox {
  /** Holds the event loop. */
  ref(): void
  /** Lets the process end. */
  unref(): void
}

/** A cache in the core. */
export interface NativeCache {
  stats(): Reply
  prune(id: number, mailbox: NativeMailbox): void
  clear(id: number, mailbox: NativeMailbox, namespace: string | null): void
  /** Letters of `Progress` come before the one that settles it, if `isTold`. */
  export(id: number, mailbox: NativeMailbox, path: string, namespace: string | null, isTold: boolean): void
  /** Likewise. */
  import(id: number, mailbox: NativeMailbox, path: string, isTold: boolean): void
  /** Ends an export or an import. */
  cancel(id: number): void
  flush(id: number, mailbox: NativeMailbox): void
  close(id: number, mailbox: NativeMailbox): void
}

/** A router in the core. A letter that a method returns is its answer; `null` means that the answer comes by mail. */
export interface NativeRouter {
  configure(optionsJson: string): Reply
  addProvider(optionsJson: string): Reply
  /** `number` comes back in every `CustomCall` as its `router`, so that this face knows which provider is meant. */
  addCustomProvider(name: string, kinds: string[], number: number, limitsJson: string): Reply
  removeProvider(name: string): Reply
  deploy(group: string, model: string, optionsJson: string | null): Reply
  undeploy(group: string, model: string): Reply
  configureGroup(group: string, optionsJson: string): Reply
  removeGroup(group: string): Reply
  groups(): Reply
  mountCache(id: number, optionsJson: string): void
  mountOpenCache(cache: NativeCache): Reply
  cache(): NativeCache | null
  /** What `invoke` would say to these options. */
  checkOptions(optionsJson: string): Reply
  /** A text is a hit, the rest of which is on the desk (`desk.ts`). A request is spelled (`spelling.ts`), or JSON. */
  invoke(id: number, group: string, request: Spoken, optionsJson: string | null): Letter | string | null
  /** The word that a line has named by its number. */
  word(number: number): string
  stream(id: number, group: string, request: Spoken, optionsJson: string | null): Letter | null
  /** If it gives nothing, what comes is brought by at most so many letters. */
  pull(id: number, letters: number): Letter | null
  cancel(id: number): void
  estimateWaitMs(group: string, request: Spoken): Reply
  stats(): Reply
  close(id: number): void
  /** A letter that is not a failure has the head in `text` and its body in `bytes`, or the beginning of it in `raw`. */
  respond(id: number, body: Uint8Array, optionsJson: string | null): Letter | null
  /** As `pull`. */
  pullResponse(id: number, letters: number): Letter | null
  /** Whether there is room for more; if not, word of it comes by mail. */
  customReply(callId: number, type: 'whole' | 'event' | 'end' | 'error', text: string): boolean
}

/** A usage window in the core. */
export interface NativeUsageTracker {
  configure(limitsJson: string): Reply
  tryAcquire(tokens: number | undefined): Reply
  settle(reserved: number, actual: number): Reply
  remaining(): Reply
}

/** Which router: what it asks for and what it gives. */
export type Kind = 'completion' | 'response' | 'embedding' | 'rerank'

/** Everything that the addon exports. */
export interface Native {
  /**
   * `receive` gets all letters that have come: those that are nothing but texts in one JSON, as kind, id and what each says,
   * again and again, and `raws`, the raw texts of those whose kind is higher by 16; the others as objects. Those to one id come in their
   * order, and first those in the JSON.
   */
  Mailbox: new (receive: (plain: string | null, raws: string[] | null, rich: Letter[] | null) => void) => NativeMailbox
  /** `desk` is where the numbers of hits are put. */
  NativeRouter: new (mailbox: NativeMailbox, kind: Kind, desk: Float64Array) => NativeRouter
  NativeCache: {
    open(mailbox: NativeMailbox, id: number, optionsJson: string): void
    /** The cache that the call `id` opened; once. */
    take(mailbox: NativeMailbox, id: number): NativeCache
  }
  NativeUsageTracker: new () => NativeUsageTracker
  /** A number, or the reply of a failure. */
  countText(text: string, model: string | null): number | Reply
  countTextAsync(mailbox: NativeMailbox, id: number, text: string, model: string | null): void
  /** As `countText`, of messages. */
  countTokens(messagesJson: string, model: string | null): number | Reply
  countTokensAsync(mailbox: NativeMailbox, id: number, messagesJson: string, model: string | null): void
  /** What is asked for, before the body is read. */
  gatewayPlace(doorJson: string): Reply
  gatewayModels(groups: string[], wanted: string | null): Reply
  gatewayRefusal(reason: string, limit: number | null): Reply
  /** Writes what is not on disk yet, now. */
  flushAll(): void
  version(): string
}

/** Names a file to be loaded instead. */
const OVERRIDE = 'NAPI_RS_NATIVE_LIBRARY_PATH'

/** Goes by what is quick to read: where Node has another libc than `ldd`, loading fails, and is tried again with that of Node. */
function isMusl(): boolean {
  try {
    return readFileSync('/usr/bin/ldd', 'latin1').includes('musl')
  } catch {
    return false
  }
}

function findAddon(): Native {
  const { platform, arch, env } = process
  const suffix = platform === 'linux' ? (isMusl() ? '-musl' : '-gnu') : platform === 'win32' ? '-msvc' : ''
  const name = `${platform}-${arch}${suffix}`
  // Not there in a bundle of modules.
  const folder = typeof __dirname === 'string' ? __dirname : undefined
  // Not the `require` of this file: bundlers would want to know what is asked for.
  const requireFile = createRequire(join(folder ?? process.cwd(), 'native.js'))
  const override = env[OVERRIDE]
  if (override) return requireFile(override)
  // Where it is built, it stands in the root.
  const built = folder === undefined ? undefined : join(folder, '..', `thryd.${name}.node`)
  if (built !== undefined && existsSync(built)) return requireFile(built)
  const installed = INSTALLED[name]
  if (installed === undefined) throw new Error(`There is no package for ${name}`)
  return installed() as Native
}

/** What is found, but never a file that was cut short, where that would end the process. */
function whole(find: () => Native): Native {
  const { dlopen } = process
  if (process.platform === 'linux') {
    process.dlopen = (module: object, path: string, ...flags: []) => {
      demandWhole(path)
      dlopen.call(process, module, path, ...flags)
    }
  }
  try {
    return find()
  } finally {
    process.dlopen = dlopen
  }
}

/** What speaks of loads that fail, read only then. */
const diagnosis = (): typeof import('./diagnosis') => require('./diagnosis')

function load(): Native {
  let addon: Native
  try {
    addon = whole(findAddon)
  } catch (cause) {
    addon = whole(() => diagnosis().loadElsewhere(cause))
  }
  const version = addon.version?.()
  if (version !== VERSION) throw diagnosis().otherVersion(version)
  return addon
}

/** The addon, loaded once per environment. */
export const native: Native = load()
