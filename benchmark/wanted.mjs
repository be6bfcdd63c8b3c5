// What thryd wants to reach: in a contest, by a measure, against a contestant (whose name begins so) or by itself.

/** Of a table, the least in its last column. */
const LAST = 'least in the last column'

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
  ...['English', 'code'].flatMap((kind) =>
    [
      ['200', 6],
      ['2,000', 12],
      ['20,000', 15],
    ].map(([size, faster]) => [
      `countTokens, ${kind}, ${size} characters: texts/s`,
      `${kind.toLowerCase()}-${size.replace(',', '-')}-characters-o200k-base`,
      'rate',
      { 'gpt-tokenizer': faster, tiktoken: 20 },
      'atLeast',
    ]),
  ),
  [
    'countTokens, 32 languages, 2,000 characters: texts/s',
    '32-languages-2-000-characters-o200k-base',
    'rate',
    { 'gpt-tokenizer': 2.5 },
    'atLeast',
  ],
  ['countTokens, the slowest of adversarial texts of 1 MB, in MB/s', /^a-megabyte-thryd/, LAST, 10, 'atLeast'],
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
      judged.push(
        Object.assign({ work, against: contestant?.replace(' \\S+', ','), wanted, contest: name, command }, found),
      )
    }
  }
  return judged
}

function seen({ contest, contestant, measure, limit, bound }) {
  if (!contest) return { why: 'no such contest in this run' }
  if (measure === LAST) return ofTable(contest.table, limit)
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

function ofTable([, ...rows], limit) {
  const values = rows.map((row) => Number(row.at(-1)))
  const [least, most] = [Math.min(...values), Math.max(...values)]
  const is = least >= limit ? 'reached' : 'not reached'
  return { reached: number(least), spread: `${number(least)} to ${number(most)}`, is }
}

function begins({ contestant }, beginning) {
  return new RegExp(`^${beginning}`).test(contestant)
}
