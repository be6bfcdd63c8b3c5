/** A core that does what a test says, behind the private contract of `js/native.ts`: for testing the face alone. */

import { type Failure, type Letter, LetterKind } from '../../js/letter'
import type { Kind, Native, NativeCache, NativeMailbox, NativeRouter, Reply } from '../../js/native'
import { unspelled } from './spelling'

const ok = (value: unknown = null): Reply => JSON.stringify({ ok: value })

/** What the core was asked and told, newest last. */
export const seen = {
  invoked: [] as { id: number; group: string; request: unknown; options: unknown }[],
  cancelled: [] as number[],
  replies: [] as { id: number; type: string; value: unknown }[],
  custom: [] as { name: string; kinds: string[]; router: number; limits: unknown }[],
  configured: [] as unknown[],
  flushes: 0,
  /** Whether the event loop is held. */
  isHeld: false,
}

/** What the core answers; a test replaces what it needs. */
export const script = {
  invoke: (_id: number): Letter | null => null,
  stream: (_id: number): Letter | null => null,
  pull: (_id: number, _letters: number): Letter | null => null,
  reply: (_method: string): Reply => ok(),
  transfer: (id: number): void => post({ kind: LetterKind.Ok, id, text: '7' }),
}

const unscripted = { ...script }

/** Back to a core that only listens. */
export function reset(): void {
  Object.assign(script, unscripted)
  seen.invoked.length = seen.cancelled.length = seen.replies.length = seen.custom.length = seen.configured.length = 0
}

class Mailbox implements NativeMailbox {
  #letters: Letter[] = []

  constructor(receive: (plain: string | null, raws: string[] | null, rich: Letter[] | null) => void) {
    const arrive = (): void => {
      const letters = this.#letters.splice(0)
      const isPlain = ({ raw, bytes, vectors }: Letter): boolean => (raw ?? bytes ?? vectors) === undefined
      const said = letters.filter(isPlain).map(({ kind, id, text }) => `${kind},${id},${text ?? 'null'}`)
      const rich = letters.filter((letter) => !isPlain(letter))
      receive(said.length > 0 ? `[${said.join()}]` : null, null, rich.length > 0 ? rich : null)
    }
    post = (...letters) => {
      if (this.#letters.length === 0) setImmediate(arrive)
      this.#letters.push(...letters)
    }
  }

  ref(): void {
    seen.isHeld = true
  }

  unref(): void {
    seen.isHeld = false
  }
}

/** Sends mail, as the core's threads do: it arrives in a later turn of the event loop. */
export let post: (...letters: Letter[]) => void

/** A failure with the parts that a test does not care about. */
export function failure(parts: Partial<Failure>): Failure {
  return { name: 'ThrydError', code: 'ERR_BUG', message: 'broken', retryable: false, attempts: [], ...parts }
}

/** A letter that brings a failure. */
export function failedLetter(id: number, parts: Partial<Failure>): Letter {
  return { kind: LetterKind.Failed, id, text: JSON.stringify(failure(parts)) }
}

/** A letter that brings a completion. */
export function completionLetter(id: number, content: string, cache = 'off', kind = LetterKind.Ok): Letter {
  const usage = { promptTokens: 1, completionTokens: 2, totalTokens: 3 }
  const served = { deployment: 'p::m', model: 'm', usage, cache, attempts: [], latencyMs: 1 }
  const line = { queuedMs: 0, queuePosition: 0 }
  const text = JSON.stringify({ content, toolCalls: [], finishReason: 'stop', ...served, ...line })
  return { kind, id, text, raw: JSON.stringify({ id: content }) }
}

/** A letter that brings chunks of text. */
export function chunksLetter(id: number, ...deltas: string[]): Letter {
  return { kind: LetterKind.Chunks, id, text: JSON.stringify(deltas.map((delta) => ({ type: 'content', delta }))) }
}

class Router implements NativeRouter {
  readonly kind: Kind
  #cache: NativeCache | null = null

  constructor(_mailbox: NativeMailbox, kind: Kind) {
    this.kind = kind
  }

  configure(options: string): Reply {
    seen.configured.push(JSON.parse(options))
    return script.reply('configure')
  }

  addProvider(options: string): Reply {
    seen.configured.push(JSON.parse(options))
    return script.reply('addProvider')
  }

  addCustomProvider(name: string, kinds: string[], router: number, limits: string): Reply {
    seen.custom.push({ name, kinds, router, limits: JSON.parse(limits) })
    return script.reply('addCustomProvider')
  }

  respond(): null {
    return null
  }

  pullResponse(): null {
    return null
  }

  removeProvider(): Reply {
    return script.reply('removeProvider')
  }

  deploy(): Reply {
    return script.reply('deploy')
  }

  undeploy(): Reply {
    return script.reply('undeploy')
  }

  checkOptions(): Reply {
    return script.reply('checkOptions')
  }

  configureGroup(): Reply {
    return script.reply('configureGroup')
  }

  removeGroup(): Reply {
    return script.reply('removeGroup')
  }

  groups(): Reply {
    return script.reply('groups')
  }

  mountCache(id: number, options: string): void {
    seen.configured.push(JSON.parse(options))
    this.#cache = new Cache()
    post({ kind: LetterKind.Ok, id, text: 'null' })
  }

  mountOpenCache(cache: NativeCache): Reply {
    this.#cache = cache
    return script.reply('mountOpenCache')
  }

  cache(): NativeCache | null {
    return this.#cache
  }

  invoke(id: number, group: string, request: string, options: string | null): Letter | null {
    seen.invoked.push({
      id,
      group,
      request: unspelled(request),
      options: options === null ? null : JSON.parse(options),
    })
    return script.invoke(id)
  }

  word(): string {
    throw new Error('no hit of this core is told in a line')
  }

  stream(id: number, group: string, request: string, options: string | null): Letter | null {
    seen.invoked.push({
      id,
      group,
      request: unspelled(request),
      options: options === null ? null : JSON.parse(options),
    })
    return script.stream(id)
  }

  pull(id: number, letters: number): Letter | null {
    return script.pull(id, letters)
  }

  cancel(id: number): void {
    seen.cancelled.push(id)
  }

  estimateWaitMs(): Reply {
    return script.reply('estimateWaitMs')
  }

  stats(): Reply {
    return script.reply('stats')
  }

  close(id: number): void {
    post({ kind: LetterKind.Ok, id, text: 'null' })
  }

  customReply(id: number, type: string, text: string): boolean {
    seen.replies.push({ id, type, value: text === '' ? undefined : JSON.parse(text) })
    return true
  }
}

class Cache implements NativeCache {
  stats(): Reply {
    return script.reply('cache.stats')
  }

  prune(id: number): void {
    post({ kind: LetterKind.Ok, id, text: '7' })
  }

  clear(id: number, _mailbox: NativeMailbox, namespace: string | null): void {
    seen.configured.push({ namespace })
    post({ kind: LetterKind.Ok, id, text: 'null' })
  }

  export(id: number, _mailbox: NativeMailbox, path: string, namespace: string | null, isTold: boolean): void {
    seen.configured.push({ path, namespace, isTold })
    script.transfer(id)
  }

  import(id: number, _mailbox: NativeMailbox, path: string, isTold: boolean): void {
    seen.configured.push({ path, isTold })
    script.transfer(id)
  }

  cancel(id: number): void {
    seen.cancelled.push(id)
  }

  flush(id: number): void {
    post({ kind: LetterKind.Ok, id, text: 'null' })
  }

  close(id: number): void {
    post({ kind: LetterKind.Ok, id, text: 'null' })
  }
}

/** The addon's exports. */
export const native: Native = {
  Mailbox,
  NativeRouter: Router,
  NativeCache: {
    open(_mailbox, id, options) {
      seen.configured.push(JSON.parse(options))
      post({ kind: LetterKind.Ok, id, text: 'null' })
    },
    take: () => new Cache(),
  },
  NativeUsageTracker: class {
    configure = (): Reply => script.reply('configure')
    tryAcquire = (): Reply => script.reply('tryAcquire')
    settle = (): Reply => script.reply('settle')
    remaining = (): Reply => script.reply('remaining')
  },
  countText: () => script.reply('countText'),
  countTextAsync: (_mailbox, id) => post({ kind: LetterKind.Ok, id, text: '5' }),
  countTokens: () => script.reply('countTokens'),
  countTokensAsync: (_mailbox, id) => post({ kind: LetterKind.Ok, id, text: '5' }),
  gatewayPlace: () => script.reply('gatewayPlace'),
  gatewayModels: () => script.reply('gatewayModels'),
  gatewayRefusal: () => script.reply('gatewayRefusal'),
  flushAll: () => {
    seen.flushes += 1
  },
  version: () => '0.0.0',
}
