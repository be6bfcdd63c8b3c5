/**
 * One listener on a signal, however many calls share it: Node 20 warns of a leak at the eleventh, and taking one of
 * thousands off an EventTarget means to look for it.
 */

interface Watch {
  readonly callbacks: Set<() => void>
  readonly listener: () => void
}

const watched = new WeakMap<AbortSignal, Watch>()

/** Calls `callback` when the signal fires, unless `unwatch` comes first. A signal that has fired does so no more. */
export function watch(signal: AbortSignal, callback: () => void): void {
  let its = watched.get(signal)
  if (its === undefined) {
    const callbacks = new Set<() => void>()
    const listener = (): void => {
      watched.delete(signal)
      // The last first: who waits in line is to be gone before the one is whose place it would be given.
      for (const each of [...callbacks].toReversed()) if (callbacks.delete(each)) each()
    }
    its = { callbacks, listener }
    watched.set(signal, its)
    signal.addEventListener('abort', listener, { once: true })
  }
  its.callbacks.add(callback)
}

/** Forgets `callback`. With the last one, the listener goes. */
export function unwatch(signal: AbortSignal, callback: () => void): void {
  const its = watched.get(signal)
  if (its === undefined || !its.callbacks.delete(callback) || its.callbacks.size > 0) return
  watched.delete(signal)
  signal.removeEventListener('abort', its.listener)
}

/** What a signal that has fired was aborted with. Those that others wrote for older platforms do not say. */
export function reasonOf(signal: AbortSignal): unknown {
  return signal.reason === undefined ? new DOMException('This operation was aborted', 'AbortError') : signal.reason
}
