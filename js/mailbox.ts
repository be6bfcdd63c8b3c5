/**
 * Where answers that are not there at once arrive. One mailbox per environment: the core wakes it when there is mail, one
 * drain delivers all of it. The event loop is held exactly while somebody waits.
 */

import { type Letter, LetterKind } from './letter'
import { type CallSite, callSite, fail } from './errors'
import { native } from './native'
import { unwatch, watch } from './signal'

type Recipient = (letter: Letter) => void

const waiting = new Map<number, Recipient>()
let lastId = 0
let calls: Recipient | undefined

/** The mailbox that the core delivers to. */
export const mailbox = new native.Mailbox(drain)
mailbox.unref()

/** A number that no other call under way in this environment has; the core counts in 32 bits. */
export function nextId(): number {
  do lastId = (lastId + 1) >>> 0
  while (lastId === 0 || waiting.has(lastId))
  return lastId
}

/** Hands the next letter to `id` to `recipient`. */
export function expect(id: number, recipient: Recipient): void {
  if (waiting.size === 0) mailbox.ref()
  waiting.set(id, recipient)
}

/** Nobody waits for `id` any more. */
export function forget(id: number): void {
  if (waiting.delete(id) && waiting.size === 0) mailbox.unref()
}

/** Hands the core's calls of custom providers, and their ends, to `recipient`. */
export function onCall(recipient: Recipient): void {
  calls = recipient
}

/** The letter to `id`. Rejects with the signal's reason if that comes first, after `cancel(id)`. */
export function letterTo(id: number, signal?: AbortSignal, cancel?: (id: number) => void): Promise<Letter> {
  return new Promise((resolve, reject) => {
    if (signal === undefined) {
      expect(id, resolve)
      return
    }
    const onAbort = (): void => {
      forget(id)
      cancel?.(id)
      reject(signal.reason)
    }
    watch(signal, onAbort)
    expect(id, (letter) => {
      unwatch(signal, onAbort)
      resolve(letter)
    })
  })
}

/** The letter that settles `id`; those before it tell `onProgress` how far it is. What that throws ends it, by `cancel(id)`. */
function letterAfter<Progress>(
  id: number,
  onProgress: (progress: Progress) => void,
  cancel: (id: number) => void,
): Promise<Letter> {
  return new Promise((resolve, reject) => {
    const recipient = (letter: Letter): void => {
      if (letter.kind !== LetterKind.Progress) {
        resolve(letter)
        return
      }
      // More is to come, maybe in this very delivery.
      expect(id, recipient)
      try {
        onProgress(JSON.parse(letter.text ?? '{}') as Progress)
      } catch (error) {
        forget(id)
        cancel(id)
        reject(error)
      }
    }
    expect(id, recipient)
  })
}

/** As `settled`, for something that tells how far it is to whoever wants to know. */
export async function settledAfter<Value, Progress>(
  start: (id: number) => void,
  onProgress: ((progress: Progress) => void) | undefined,
  cancel: (id: number) => void,
): Promise<Value> {
  const id = nextId()
  start(id)
  const letter = await (onProgress === undefined ? letterTo(id) : letterAfter(id, onProgress, cancel))
  if (letter.kind === LetterKind.Failed) throw failed(letter, callSite(settledAfter))
  return JSON.parse(letter.text ?? 'null') as Value
}

/** Starts something that settles by mail, and gives its value, or what `read` makes of it. Rejects with its error. */
export async function settled<Value>(start: (id: number) => void, read?: (id: number) => Value): Promise<Value> {
  const id = nextId()
  start(id)
  const letter = await letterTo(id)
  if (letter.kind === LetterKind.Failed) throw failed(letter, callSite(settled))
  return read ? read(id) : (JSON.parse(letter.text ?? 'null') as Value)
}

/** The error in a letter that brings one. */
export function failed(letter: Letter, site: CallSite = callSite(failed)): Error {
  return fail(JSON.parse(letter.text ?? '{}'), site)
}

function drain(): void {
  let fault: { error: unknown } | undefined
  for (const letter of mailbox.drain()) {
    try {
      deliver(letter)
    } catch (error) {
      // One recipient's fault must not lose the other letters.
      fault ??= { error }
    }
  }
  if (fault) throw fault.error
}

function deliver(letter: Letter): void {
  if (letter.kind === LetterKind.Call || letter.kind === LetterKind.Abort) {
    calls?.(letter)
    return
  }
  const recipient = waiting.get(letter.id)
  // Whoever left is not there to be told.
  if (recipient === undefined) return
  forget(letter.id)
  recipient(letter)
}
