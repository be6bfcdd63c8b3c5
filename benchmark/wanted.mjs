// What thryd wants to reach: in a contest, by a measure, against a contestant (whose name begins so) or by itself.

/** A gain is a rate divided by theirs, a cost a cost divided by theirs: `atLeast` or `atMost` so much of it. */
export const WANTED = [
  ['whole answers, 64 in flight: requests/s', 'unary', 'rate', { undici: 1.3, openai: 16, ai: 30 }, 'atLeast'],
  ['whole answers, 4,096 in flight: requests/s', 'crowd', 'rate', { undici: 2 }, 'atLeast'],
  ['the same: memory', 'crowd', 'peak', { openai: 0.3 }, 'atMost'],
  ['the same: memory, in MiB', 'crowd', 'peak', 300, 'atMost'],
  ['whole answers, one after the other: p50', 'sequential', 'p50', { undici: 1.15 }, 'atMost'],
  ['512 in flight, server answers after 50 ms: CPU', 'slow', 'cpu', { undici: 1, openai: 0.07 }, 'atMost'],
  ['32 streams of 200 chunks: CPU per chunk', 'streaming', 'cpu', { fetch: 0.5, openai: 0.15 }, 'atMost'],
  ['128 streams, one chunk per 20 ms: CPU per chunk', 'paced', 'cpu', { fetch: 0.4 }, 'atMost'],
  ['256 vectors of 1536: time', 'vectors', 'milliseconds', { openai: 0.4 }, 'atMost'],
  ['a process after 20,000 calls: RSS', 'kept', 'rss', { openai: 0.35 }, 'atMost'],
  ["`require('thryd')`, in ms", 'start', 'load', 5, 'atMost'],
  ['a new process: require and first answer', 'start', 'first', { openai: 0.15 }, 'atMost'],
  ['a miss: all that is added to the request, in us of CPU', 'miss', 'added', 10, 'atMost'],
  ['a file of 100,000 entries, opened after kill -9, in ms', 'killed', 'milliseconds', 5, 'atMost'],
  ['storing an answer, as the caller feels it, in us', 'storing', 'time', 1, 'atMost'],
  [
    'a hit from memory, 1 KiB request, 2 KiB answer: time',
    /^hits-from-memory/,
    'time',
    { 'lru-cache \\S+ sha256, JSON': 0.8, '@langchain/core': 0.1 },
    'atMost',
  ],
  [
    'a hit from a file of 100,000 entries: time',
    /^hits-from-a-file-one/,
    'time',
    { 'better-sqlite3': 0.65, lmdb: 1.5 },
    'atMost',
  ],
  ...[
    ['200 b', 6],
    ['2 kb', 12],
    ['20 kb', 15],
  ].map(([size, faster]) => [
    `countTokens, English and code of ${size.toUpperCase()}: texts/s`,
    new RegExp(`^token.*english.*-${size.replace(' ', '-')}`),
    'rate',
    { 'gpt-tokenizer': faster, tiktoken: 20 },
    'atLeast',
  ]),
  ['countTokens, multilingual, 2 KB: texts/s', /^token.*multilingual/, 'rate', { 'gpt-tokenizer': 2.5 }, 'atLeast'],
  [
    'countTokens, the slowest of eight adversarial 1 MB texts, in MB/s',
    /^token.*adversarial/,
    'megabytes',
    10,
    'atLeast',
  ],
]

const number = (value) => value.toFixed(value < 10 ? 2 : 1)

/** What a run says to each of these wishes, one row for each contestant. */
export function judge({ contests, parts }) {
  const names = Object.keys(contests)
  const judged = []
  for (const [work, contest, measure, wish, bound] of WANTED) {
    const name = names.find((one) => (contest instanceof RegExp ? contest.test(one) : contest === one))
    const against = typeof wish === 'number' ? [[undefined, wish]] : Object.entries(wish)
    for (const [contestant, limit] of against) {
      const wanted = `${bound === 'atLeast' ? 'at least' : 'at most'} ${limit}${contestant ? 'x' : ''}`
      const found = seen({ contest: contests[name], contestant, measure, limit, bound })
      const command = parts[contests[name]?.part]?.command
      judged.push(Object.assign({ work, against: contestant, wanted, contest: name, command }, found))
    }
  }
  return judged
}

function seen({ contest, contestant, measure, limit, bound }) {
  if (!contest) return { why: 'no such contest in this run' }
  const row = contestant ? contest.rows.find((other) => begins(other, contestant)) : contest.rows[0]
  if (!row || row.missing) return { why: row?.missing ?? 'not a contestant in this run' }
  const value = contestant ? row.ratios?.[measure] : row.values[measure]
  if (!value) return { why: `no ${measure} was measured` }
  const is = (bound === 'atLeast' ? value.median >= limit : value.median <= limit) ? 'reached' : 'not reached'
  const spread = `${number(value.least)} to ${number(value.most)}`
  const against = [row.contestant, row.version].filter(Boolean).join(' ')
  const own = { reached: `${number(value.median)}${contestant ? 'x' : ''}`, spread, is }
  return contestant ? { against, ...own } : own
}

function begins({ contestant }, beginning) {
  return new RegExp(`^${beginning}`).test(contestant)
}
