/**
 * Where answers that are not there at once arrive. One mailbox per environment: the core wakes it with all letters that have
 * come. The event loop is held exactly while somebody waits.
 */

import { type Failure, type Letter, LetterKind, contentOf } from './letter'
import { type CallSite, callSite, fail } from './errors'
import { native } from './native'
import { reasonOf, unwatch, watch } from './signal'

type Recipient = (letter: Letter) => void

/** Added to the kind of a letter that has a raw text as well. */
const WITH_RAW = 16

/** Who gets the next letter, and only that. */
const waiting = new Map<number, Recipient>()
/** Who gets every letter, whether he waits or not. */
const followers = new Map<number, Recipient>()
let lastId = 0
let calls: Recipient | undefined
let holders = 0
const now = Promise.resolve()
let isHeld = false

/** The mailbox that the core delivers to. */
export const mailbox = new native.Mailbox(receive)
mailbox.unref()

/** A number that no other call under way in this environment has; the core counts in 32 bits. */
export function nextId(): number {
  do lastId = (lastId + 1) >>> 0
  while (lastId === 0 || (waiting.size > 0 && waiting.has(lastId)) || (followers.size > 0 && followers.has(lastId)))
  return lastId
}

/** Hands the next letter to `id` to `recipient`. */
export function expect(id: number, recipient: Recipient): void {
  waiting.set(id, recipient)
  hold()
}

/** Nobody waits for `id` any more. */
export function forget(id: number): void {
  if (!waiting.delete(id)) return
  holders -= 1
  release()
}

/** Hands all letters to `id` to `recipient`, without holding the event loop. */
export function follow(id: number, recipient: Recipient): void {
  followers.set(id, recipient)
}

/** No more letters to `id`. */
export function unfollow(id: number): void {
  followers.delete(id)
}

/** Somebody waits: the event loop is held. */
export function hold(): void {
  holders += 1
  if (isHeld) return
  isHeld = true
  mailbox.ref()
}

/**
 * He does not any more, and was told so. A reader waits for the next letter as soon as he has one, so the event loop is not let
 * go of before that.
 */
export function letGo(): void {
  holders -= 1
  // Not `queueMicrotask`, which costs as much as what it saves.
  if (holders === 0) void now.then(release)
}

function release(): void {
  if (!isHeld || holders > 0) return
  isHeld = false
  mailbox.unref()
}

/** Hands what the core says to custom providers to `recipient`. */
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
      reject(reasonOf(signal))
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
        onProgress(contentOf(letter) as Progress)
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
  return contentOf(letter) as Value
}

/** Starts something that settles by mail, and gives its value, or what `read` makes of it. Rejects with its error. */
export async function settled<Value>(start: (id: number) => void, read?: (id: number) => Value): Promise<Value> {
  const id = nextId()
  start(id)
  const letter = await letterTo(id)
  if (letter.kind === LetterKind.Failed) throw failed(letter, callSite(settled))
  return read ? read(id) : (contentOf(letter) as Value)
}

/** The error in a letter that brings one. */
export function failed(letter: Letter, site: CallSite = callSite(failed)): Error {
  return fail((contentOf(letter) ?? {}) as Failure, site)
}

function receive(plain: string | null, raws: string[] | null, rich: Letter[] | null): void {
  let fault: { error: unknown } | undefined
  const hand = (letter: Letter): void => {
    try {
      deliver(letter)
    } catch (error) {
      // One recipient's fault must not lose the other letters.
      fault = { error }
    }
  }
  if (plain !== null) {
    const said = JSON.parse(plain) as unknown[]
    let nextRaw = 0
    for (let at = 0; at < said.length; at += 3) {
      const [kind, id, value] = [said[at] as number, said[at + 1] as number, said[at + 2]]
      if (kind < WITH_RAW) hand({ kind, id, value })
      else hand({ kind: kind - WITH_RAW, id, value, raw: (raws as string[])[nextRaw++] as string })
    }
  }
  if (rich !== null) for (const letter of rich) hand(letter)
  if (fault) throw fault.error
}

function deliver(letter: Letter): void {
  if (letter.kind === LetterKind.Call || letter.kind === LetterKind.Abort || letter.kind === LetterKind.Continue) {
    calls?.(letter)
    return
  }
  const follower = followers.get(letter.id)
  if (follower !== undefined) {
    follower(letter)
    return
  }
  const recipient = waiting.get(letter.id)
  // Whoever left is not there to be told.
  if (recipient === undefined) return
  waiting.delete(letter.id)
  try {
    recipient(letter)
  } finally {
    letGo()
  }
}
