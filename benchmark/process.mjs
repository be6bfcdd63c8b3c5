// One contestant of apart.mjs, in a process of its own: it is made, and then works as often as it is told to.

import { monitorEventLoopDelay } from 'node:perf_hooks'

import { ASKERS } from './askers.mjs'
import { CHUNKS, DIMENSIONS, VECTORS } from './chunks.mjs'
import { median } from './compare.mjs'
import { atOnce } from './loops.mjs'

let asker
// Every question is new: nobody may answer it from memory, or join it.
let asked = 0
const padding = 'Please explain in your own words, and give an example of each. '.repeat(12)
const question = (how = '') => `${padding}${how} (${(asked += 1)})`

async function askOnce() {
  const content = await asker.ask(question())
  if (content.length === 0) throw new Error('an empty answer')
  return 1
}

const percentile = (sorted, share) => sorted[Math.floor(sorted.length * share)]

/** What can be asked for: each gives how many things were done, and what else was seen. */
const WORK = {
  /** Whole answers, `width` at a time. */
  async whole({ width }, isOver) {
    return { done: await atOnce(width, askOnce)(isOver) }
  },
  /** One after the other, each timed. */
  async latency(_, isOver) {
    const times = []
    while (!isOver()) {
      const begun = performance.now()
      await asker.ask(question())
      times.push((performance.now() - begun) * 1000)
    }
    times.sort((left, right) => left - right)
    return { done: times.length, p50: percentile(times, 0.5), p99: percentile(times, 0.99) }
  },
  /** Streams, `width` at a time. */
  async stream({ width, how }, isOver) {
    const read = async () => {
      let length = 0
      await asker.stream(question(how), (text) => (length += text.split(' ').length - 1))
      if (length !== CHUNKS) throw new Error(`expected ${CHUNKS} chunks, got ${length}`)
      return length
    }
    return { done: await atOnce(width, read)(isOver) }
  },
  /** Lists of vectors, one after the other, and for how long the loop stood still in the worst of them. */
  async vectors(_, isOver) {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    const [times, stalls] = [[], []]
    while (!isOver()) {
      const input = Array.from({ length: VECTORS }, (__, index) => `text ${index} of ${(asked += 1)}`)
      delay.reset()
      delay.enable()
      const begun = performance.now()
      const vectors = await asker.vectors(input)
      times.push(performance.now() - begun)
      if (vectors.length !== VECTORS || vectors.at(-1).length !== DIMENSIONS) throw new Error('not the vectors')
      // The timer that would have noticed a stall at the end has to come round; it comes once a millisecond anyway.
      await new Promise((resolve) => setTimeout(resolve, 5))
      delay.disable()
      stalls.push(Math.max(0, delay.max / 1e6 - 1))
    }
    return { done: times.length, milliseconds: median(times), stall: median(stalls) }
  },
  /** Small calls one after the other, beside prompts of so many bytes. */
  async beside({ bytes }, isOver) {
    const large = 'word '.repeat(bytes / 5)
    const delay = monitorEventLoopDelay({ resolution: 1 })
    const send = async () => {
      while (large.length > 0 && !isOver()) await asker.ask(`${large}(${(asked += 1)})`)
    }
    delay.enable()
    const sending = send()
    const seen = await WORK.latency({}, isOver)
    await sending
    delay.disable()
    return { ...seen, stall: Math.max(0, delay.max / 1e6 - 1) }
  },
  /** One prompt of so many bytes: how much more memory than before it takes, in prompts. */
  async huge({ bytes }) {
    await asker.ask(question())
    const prompt = Buffer.alloc(bytes, 'word ').latin1Slice()
    const before = process.memoryUsage.rss()
    await asker.ask(prompt)
    return { done: 1, copies: (process.resourceUsage().maxRSS * 1024 - before) / bytes }
  },
  /** So many calls in all, `width` at a time: what they leave behind. */
  async calls({ width, count }) {
    let left = count
    return { done: await atOnce(width, askOnce)(() => (left -= 1) < 0) }
  },
}

async function work({ kind, milliseconds, ...rest }) {
  const [cpu, thread, begun] = [process.cpuUsage(), process.threadCpuUsage?.(), performance.now()]
  const { done, ...seen } = await WORK[kind](rest, () => performance.now() - begun >= milliseconds)
  const seconds = (performance.now() - begun) / 1000
  const each = (used) => used && (used.user + used.system) / done
  return {
    rate: done / seconds,
    cpu: each(process.cpuUsage(cpu)),
    thread: each(thread && process.threadCpuUsage(thread)),
    rss: process.memoryUsage.rss() / 2 ** 20,
    peak: process.resourceUsage().maxRSS / 1024,
    ...seen,
  }
}

process.on('message', async (message) => {
  try {
    if (message.make) asker = await ASKERS[message.make.name].make(message.make)
    process.send(message.work ? await work(message.work) : { ready: true })
  } catch (error) {
    process.send({ error: String(error.message).split('\n')[0] })
  }
})
process.on('disconnect', () => process.exit())
