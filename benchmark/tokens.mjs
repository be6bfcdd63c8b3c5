// Counting tokens against its peers on this machine: by kind of text and size, and texts that are hard to count.
//
//   node benchmark/tokens.mjs            # after `npm run build`: five minutes

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

import { contest, median, print } from './contest.mjs'
import { inTurn } from './loops.mjs'
import { introduce } from './machine.mjs'
import { peer } from './peers.mjs'

const require = createRequire(import.meta.url)
const { countTokens } = require('..')

const ENCODING = 'o200k_base'
/** Different texts of each kind and size, so that nobody has counted one a moment ago. */
const TEXTS = 64
const SIZES = [200, 2_000, 20_000]
const HARD = 20_000
const MEGABYTE = 1 << 20

const ours = (text) => countTokens(text, ENCODING)

/** How each peer counts. */
const peers = {
  'gpt-tokenizer/encoding/o200k_base':
    ({ countTokens: count }) =>
    (text) =>
      count(text),
  tiktoken: ({ get_encoding: encoding }) => {
    const vocabulary = (shared ??= encoding(ENCODING))
    return (text) => vocabulary.encode_ordinary(text).length
  },
}

/** The one of tiktoken, which does not give back its memory by itself. */
let shared

introduce('medians of five rounds, contestants taking turns; CPU is that of this process')

const read = (...paths) => paths.map((path) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')).join('\n')
const random = generator(1)
const kinds = {
  English: read('docs/design.md', 'docs/limits.md', 'docs/wire.md', 'docs/failures.md', 'docs/cache.md'),
  code: read('src/route/group.rs', 'src/kinds/prompt.rs', 'js/router.ts', 'js/encode.ts', 'js/native.ts'),
  '32 languages': shuffled(read('tests/fixtures/languages.txt')),
}

for (const [kind, all] of Object.entries(kinds)) {
  for (const size of SIZES) {
    const step = Math.floor((all.length - size) / TEXTS)
    const texts = Array.from({ length: TEXTS }, (_, index) =>
      all.slice(index * step, index * step + size).toWellFormed(),
    )
    await contest(`${kind}, ${size.toLocaleString('en')} characters, ${ENCODING}`, 'text', await contestants(texts))
  }
}

// Texts that nobody has seen: gpt-tokenizer remembers what it has merged, and is as slow only once for each.
const names = ['thryd', 'gpt-tokenizer/encoding/o200k_base', 'tiktoken']
const hard = []
for (const [name, alphabet] of Object.entries(alphabets())) {
  const cells = await Promise.all(names.map((peerName) => freshly(peerName, alphabet)))
  hard.push([name, ...cells])
}
print(`${HARD.toLocaleString('en')} characters, never the same, ms of CPU, ${ENCODING}`, [['', ...names], ...hard])

// Peers take seconds to minutes for a text of this size, or end the process.
const rows = Object.entries(alphabets()).map(([name, alphabet]) => {
  const text = of(alphabet, MEGABYTE)
  const bytes = Buffer.byteLength(text)
  const rates = Array.from({ length: 5 }, () => {
    const { user, system } = process.cpuUsage()
    const tokens = countTokens(text, ENCODING)
    const used = process.cpuUsage()
    return { tokens, rate: bytes / (used.user + used.system - user - system) }
  })
  const { tokens, rate } = rates.toSorted((left, right) => left.rate - right.rate)[2]
  return [name, bytes.toLocaleString('en'), tokens.toLocaleString('en'), rate.toFixed(1)]
})
print(`a megabyte, thryd, ${ENCODING}`, [['', 'bytes', 'tokens', 'MB/s of CPU'], ...rows])

/** thryd and its peers on these texts, each only if it counts all of them as thryd does. */
async function contestants(texts) {
  const expected = texts.map((text) => countTokens(text, ENCODING))
  const stride = Math.max(1, Math.floor(50_000 / texts[0].length))
  const counting = (count) => {
    const differing = texts.filter((text, index) => count(text) !== expected[index])
    if (differing.length > 0) throw new Error(`it counts ${differing.length} of ${texts.length} texts differently`)
    return inTurn((index) => count(texts[index % texts.length]), stride)
  }
  return [
    { name: 'thryd', run: counting(ours) },
    ...(await Promise.all(Object.keys(peers).map((name) => peer([name], (module) => counting(peers[name](module)))))),
  ]
}

/** The median time of five texts, each of which is new. */
async function freshly(name, alphabet) {
  const { run, missing } = name === 'thryd' ? { run: ours } : await peer([name], peers[name])
  if (missing) return 'not measured'
  const times = Array.from({ length: 5 }, (_, index) => {
    const text = of(alphabet, HARD + index)
    const begun = process.cpuUsage()
    const tokens = run(text)
    const used = process.cpuUsage(begun)
    if (tokens !== ours(text)) throw new Error(`${name} counts a text differently`)
    return (used.user + used.system) / 1000
  })
  return median(times).toFixed(1)
}

function alphabets() {
  const letters = 'abcdefghijklmnopqrstuvwxyz'
  return {
    'one letter': 'a',
    'random letters': letters,
    'spaces and line breaks': ' \n',
    spaces: ' ',
    base64: `${letters}${letters.toUpperCase()}0123456789+/`,
    digits: '0123456789',
    punctuation: '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~',
    'emoji, marks and CJK': '\u{1f600}\u{1f3fd}\u200d\ufe0f\u0301\u0323\u4e2d\u3042\uac00\u9f98\u{20ac7}',
  }
}

function of(alphabet, length) {
  const characters = [...alphabet]
  let text = ''
  while (text.length < length) text += characters[Math.floor(random() * characters.length)]
  return text
}

/** Sentences in ever new orders, so that no stretch comes again soon. */
function shuffled(text) {
  const words = text.split(/(?<=[ \n\u3002\u3001\uff0c])/)
  let all = ''
  while (all.length < 100_000) {
    for (let index = words.length - 1; index > 0; index -= 1) {
      const other = Math.floor(random() * (index + 1))
      ;[words[index], words[other]] = [words[other], words[index]]
    }
    all += words.join('')
  }
  return all
}

/** Numbers between 0 and 1, the same in each run (mulberry32). */
function generator(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
