import { getEventListeners } from 'node:events'

import { beforeEach, describe, expect, test, vi } from 'vitest'

import { type CompletionChunk, type CompletionStream, CompletionRouter, InterruptedError } from '../../js'
import { type Letter, LetterKind } from '../../js/letter'
import { chunksLetter, completionLetter, failedLetter, post, reset, script, seen } from '../support/native'

vi.mock('../../js/native', async () => await import('../support/native'))

beforeEach(reset)

/** A stream whose letters come in this order, every other one by mail. */
function streamOf(letters: ((id: number) => Letter)[], signal?: AbortSignal): CompletionStream {
  let next = 0
  script.pull = (id) => {
    const letter = letters[next]?.(id)
    next += 1
    if (letter === undefined) return null
    if (next % 2 === 1) return letter
    post(letter)
    return null
  }
  return new CompletionRouter().stream('g', { message: 'Hi' }, signal && { signal })
}

const end = (content: string) => (id: number) => completionLetter(id, content, 'off', LetterKind.End)
const chunks =
  (...deltas: string[]) =>
  (id: number) =>
    chunksLetter(id, ...deltas)

async function read(stream: AsyncIterable<CompletionChunk>): Promise<string> {
  let text = ''
  for await (const chunk of stream) if (chunk.type === 'content') text += chunk.delta
  return text
}

describe('a stream', () => {
  test('gives every chunk in order, then the whole', async () => {
    const stream = streamOf([chunks('a', 'b'), chunks('c'), chunks(), chunks('d', 'e'), end('abcde')])
    expect(seen.invoked).toEqual([])
    expect(await read(stream)).toBe('abcde')
    expect((await stream.completion()).content).toBe('abcde')
    expect(seen.isHeld).toBe(false)
    expect(seen.cancelled).toEqual([])
  })

  test('gives its whole to whoever only wants that', async () => {
    const stream = streamOf([chunks('a'), chunks('b', 'c'), end('abc')])
    expect((await stream.completion()).content).toBe('abc')
    expect((await stream.completion()).content).toBe('abc')
  })

  test('gives its whole to whoever waits for it while another reads', async () => {
    const stream = streamOf([chunks('a'), chunks('b'), end('ab')])
    const text = read(stream)
    expect((await stream.completion()).content).toBe('ab')
    expect(await text).toBe('ab')
  })

  test('has one reader', async () => {
    const stream = streamOf([end('')])
    await read(stream)
    await expect(read(stream)).rejects.toThrow(TypeError)
  })

  test('answers next() called ahead in order', async () => {
    const stream = streamOf([chunks('a', 'b'), chunks('c'), end('abc')])
    const iterator = stream[Symbol.asyncIterator]()
    const results = await Promise.all(Array.from({ length: 5 }, () => iterator.next()))
    expect(results.map(({ value }) => value && 'delta' in value && value.delta)).toEqual([
      'a',
      'b',
      'c',
      undefined,
      undefined,
    ])
    expect(results.map(({ done }) => done)).toEqual([false, false, false, true, true])
  })

  test('asks again only when letters stop coming, and for more of them the longer it keeps up', async () => {
    const asked: number[] = []
    const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))
    /** Each by a delivery of its own, when its reader has read the one before. */
    const bring = async (letter: Letter, letters: number): Promise<void> => {
      for (let left = letters - 1; left >= 0; left -= 1) {
        post({ ...letter, kind: left > 0 ? LetterKind.More : LetterKind.Chunks })
        await turn()
        await turn()
      }
    }
    script.pull = (id, letters) => {
      asked.push(letters)
      if (asked.length === 5) return end('')(id)
      void bring(chunksLetter(id, `${asked.length}`), letters)
      return null
    }
    expect(await read(new CompletionRouter().stream('g', { message: 'Hi' }))).toBe('1'.concat('22', '3333', '44444444'))
    expect(asked).toEqual([1, 2, 4, 8, 16])
    expect(seen.isHeld).toBe(false)
  })

  test('keeps what comes while its reader is busy, without holding the event loop, and asks for all in one then', async () => {
    const asked: number[] = []
    script.pull = (id, letters) => {
      asked.push(letters)
      if (asked.length === 1) post({ ...chunksLetter(id, 'a'), kind: LetterKind.More })
      else if (asked.length === 2) post(chunksLetter(id, 'd'))
      else return end('abcd')(id)
      return null
    }
    const iterator = new CompletionRouter().stream('g', { message: 'Hi' })[Symbol.asyncIterator]()
    const text = async (): Promise<unknown> => {
      const { value } = await iterator.next()
      return value && 'delta' in value ? value.delta : value
    }
    expect(await text()).toBe('a')
    const id = seen.invoked[0]?.id ?? 0
    post({ ...chunksLetter(id, 'b'), kind: LetterKind.More }, chunksLetter(id, 'c'))
    await new Promise((resolve) => setImmediate(resolve))
    expect(seen.isHeld).toBe(false)
    expect([await text(), await text(), await text(), await text()]).toEqual(['b', 'c', 'd', undefined])
    expect(asked).toEqual([1, 1, 2])
  })

  test('that is left has no more letters', async () => {
    script.pull = (id) => {
      post({ ...chunksLetter(id, 'a'), kind: LetterKind.More })
      return null
    }
    const iterator = new CompletionRouter().stream('g', { message: 'Hi' })[Symbol.asyncIterator]()
    await iterator.next()
    const late = iterator.next()
    expect(seen.isHeld).toBe(true)
    await iterator.return?.()
    expect(await late).toEqual({ done: true, value: undefined })
    expect(seen.isHeld).toBe(false)
    post({ ...chunksLetter(seen.invoked[0]?.id ?? 0, 'b'), kind: LetterKind.More })
    await new Promise((resolve) => setImmediate(resolve))
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
  })

  test('does not hold the event loop while nobody asks for the next chunk', async () => {
    const iterator = streamOf([chunks('a')])[Symbol.asyncIterator]()
    await iterator.next()
    expect(seen.isHeld).toBe(false)
    const next = iterator.next()
    expect(seen.isHeld).toBe(true)
    await iterator.return?.()
    expect(await next).toEqual({ done: true, value: undefined })
    expect(seen.isHeld).toBe(false)
  })
})

describe('a reader who leaves', () => {
  test('cancels the call, and the whole is then an AbortError', async () => {
    const stream = streamOf([chunks('a', 'b'), end('ab')])
    for await (const _ of stream) break
    expect(seen.cancelled).toEqual([seen.invoked[0]?.id])
    await expect(stream.completion()).rejects.toMatchObject({ name: 'AbortError' })
  })

  test('before the first chunk starts nothing', async () => {
    const iterator = streamOf([end('')])[Symbol.asyncIterator]()
    await iterator.return?.()
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
    expect(seen.invoked).toEqual([])
    expect(seen.cancelled).toEqual([])
  })
})

describe('a stream that fails', () => {
  const broken = (id: number): Letter =>
    failedLetter(id, { name: 'InterruptedError', code: 'ERR_INTERRUPTED', message: 'cut', delivered: 'a' })

  test('throws once, with the frames of its reader, and is then over', async () => {
    const stream = streamOf([chunks('a'), broken])
    const iterator = stream[Symbol.asyncIterator]()
    await iterator.next()
    async function callerOfNext(): Promise<unknown> {
      try {
        return await iterator.next()
      } catch (error) {
        return error
      }
    }
    const error = (await callerOfNext()) as InterruptedError
    expect(error).toBeInstanceOf(InterruptedError)
    expect(error.delivered).toBe('a')
    expect(error.stack).toContain('callerOfNext')
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
    await expect(stream.completion()).rejects.toBe(error)
    expect(seen.cancelled).toEqual([])
  })

  test('to start says so at the first chunk', async () => {
    script.stream = (id) => failedLetter(id, { code: 'ERR_NO_GROUP', message: 'no group' })
    const stream = streamOf([])
    await expect(read(stream)).rejects.toMatchObject({ code: 'ERR_NO_GROUP' })
    await expect(stream.completion()).rejects.toMatchObject({ code: 'ERR_NO_GROUP' })
  })
})

describe('a signal', () => {
  test('that fires while a chunk is awaited ends the iteration with its reason', async () => {
    const controller = new AbortController()
    const reading = read(streamOf([chunks('a')], controller.signal))
    await new Promise((resolve) => setImmediate(resolve))
    controller.abort('enough')
    await expect(reading).rejects.toBe('enough')
    expect(seen.cancelled).toEqual([seen.invoked[0]?.id])
    expect(seen.isHeld).toBe(false)
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
  })

  test('that fires between two chunks drops what had arrived', async () => {
    const controller = new AbortController()
    const iterator = streamOf([chunks('a', 'b')], controller.signal)[Symbol.asyncIterator]()
    await iterator.next()
    controller.abort('enough')
    await expect(iterator.next()).rejects.toBe('enough')
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
  })

  test('that fired before sends nothing', async () => {
    await expect(read(streamOf([end('')], AbortSignal.abort('no')))).rejects.toBe('no')
    expect(seen.invoked).toEqual([])
  })

  test('keeps no listener of a stream that ended', async () => {
    const { signal } = new AbortController()
    await read(streamOf([chunks('a'), end('a')], signal))
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })
})
