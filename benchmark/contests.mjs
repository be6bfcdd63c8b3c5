// Calls, streams and vectors over a socket, each contestant in a process of its own.
//
//   node benchmark/run.mjs unary crowd         these of them
//   node benchmark/contests.mjs unary          the same, without the rest of a report

import { apart } from './apart.mjs'
import { CHUNKS, DIMENSIONS, VECTORS, every } from './chunks.mjs'
import { introduce } from './machine.mjs'

const SDKS = ['openai', 'ai', '@langchain/openai', '@xberg-io/liter-llm']
const GATEWAYS = ['Portkey gateway, by undici', 'LiteLLM proxy, by undici']

/** By name. */
export const CONTESTS = {
  unary: {
    title: 'whole answers of 1 KB, 64 in flight, server answers at once',
    unit: 'request',
    contestants: ['thryd', 'thryd, nothing switched on', 'undici', 'fetch, by hand', ...SDKS, ...GATEWAYS],
    work: { kind: 'whole', width: 64 },
    measures: ['rate', 'cpu', 'thread'],
  },
  crowd: {
    title: 'whole answers of 1 KB, 4,096 in flight, server answers at once',
    unit: 'request',
    contestants: ['thryd', 'undici', 'fetch, by hand', 'openai', 'ai', '@xberg-io/liter-llm'],
    work: { kind: 'whole', width: 4096 },
    measures: ['rate', 'cpu', 'peak'],
    roundMs: 2000,
  },
  sequential: {
    title: 'whole answers of 1 KB, one after the other',
    unit: 'request',
    contestants: ['thryd', 'undici', 'fetch, by hand', ...SDKS, ...GATEWAYS],
    work: { kind: 'latency' },
    measures: ['p50', 'p99', 'cpu'],
  },
  slow: {
    title: 'whole answers of 1 KB, 512 in flight, server answers after 50 ms',
    unit: 'request',
    contestants: [
      'thryd',
      'thryd, nothing switched on',
      'undici',
      'fetch, by hand',
      'openai',
      'ai',
      '@xberg-io/liter-llm',
    ],
    work: { kind: 'whole', width: 512, afterMs: 50 },
    measures: ['cpu', 'rate', 'thread'],
    roundMs: 1500,
  },
  streaming: {
    title: `32 streams of ${CHUNKS} chunks, server sends at once`,
    unit: 'chunk',
    contestants: ['thryd', 'undici', 'fetch, by hand', 'openai', 'ai', '@langchain/openai'],
    work: { kind: 'stream', width: 32, how: 'at once' },
    measures: ['cpu', 'thread', 'rate'],
  },
  paced: {
    title: `128 streams of ${CHUNKS} chunks, one every 20 ms in each`,
    unit: 'chunk',
    contestants: ['thryd', 'undici', 'fetch, by hand', 'openai'],
    work: { kind: 'stream', width: 128, how: every(20) },
    measures: ['cpu', 'thread'],
  },
  vectors: {
    title: `${VECTORS} vectors of ${DIMENSIONS} in base64`,
    unit: 'list',
    contestants: ['thryd', 'openai'],
    work: { kind: 'vectors' },
    measures: ['milliseconds', 'stall', 'cpu', 'thread'],
    roundMs: 1500,
  },
  beside: {
    title: 'whole answers of 1 KB, one after the other, beside prompts of 10 MiB',
    unit: 'request',
    contestants: ['thryd', 'undici', 'fetch, by hand', 'openai'],
    work: { kind: 'beside', width: 8, bytes: 10 * 2 ** 20 },
    measures: ['p50', 'p99', 'stall'],
    roundMs: 2000,
  },
  undisturbed: {
    title: 'the same without them',
    unit: 'request',
    contestants: ['thryd', 'undici', 'fetch, by hand', 'openai'],
    work: { kind: 'beside', width: 8, bytes: 0 },
    measures: ['p50', 'p99', 'stall'],
  },
  huge: {
    title: 'one prompt of 50 MiB: the most memory, over what there was before, in prompts',
    unit: 'request',
    contestants: ['thryd', 'undici', 'fetch, by hand', 'openai'],
    work: { kind: 'huge', bytes: 50 * 2 ** 20 },
    isFresh: true,
    measures: ['copies'],
  },
  kept: {
    title: 'a process after 20,000 whole answers, 64 at a time',
    unit: 'request',
    contestants: ['thryd', 'undici', 'fetch, by hand', 'openai', '@xberg-io/liter-llm'],
    work: { kind: 'calls', width: 64, count: 20_000 },
    isFresh: true,
    measures: ['rss', 'cpu'],
  },
}

if (import.meta.main) {
  introduce(
    'medians of five rounds, contestants taking turns, each in a process of its own; CPU is that of all its threads',
  )
  const names = process.argv.slice(2)
  for (const name of names.length > 0 ? names : Object.keys(CONTESTS)) await apart({ name, ...CONTESTS[name] })
  process.exit()
}
