// The demo: 200 questions to one group of three deployments, then the same questions to the cache.
//
//   npm run demo
//
// Needs no network and no key. With OPENAI_API_KEY or OPENAI_BASE_URL set it asks that service instead, 20 questions, model
// OPENAI_MODEL (gpt-4o-mini if unset).

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { CompletionRouter } from 'thryd'

import { showProgress } from './progress.mjs'
import { startServer } from './server.mjs'
import { table } from './table.mjs'

const GROUP = 'default'

/** The group and the questions: a local one that shows every situation, or the service that the environment names. */
async function setUp() {
  const { OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_MODEL = 'gpt-4o-mini' } = process.env
  if (OPENAI_API_KEY || OPENAI_BASE_URL) {
    const provider = OPENAI_BASE_URL
      ? {
          type: 'openai-compatible',
          name: 'service',
          baseUrl: OPENAI_BASE_URL,
          ...(OPENAI_API_KEY && { apiKey: OPENAI_API_KEY }),
        }
      : { type: 'openai', name: 'service' }
    const deployments = [{ model: `service::${OPENAI_MODEL}`, rpm: 300, tpm: 100_000, maxConcurrent: 8 }]
    return { where: OPENAI_BASE_URL ?? 'OpenAI', provider, deployments, count: 20, retry: {}, close: async () => {} }
  }
  const server = await startServer()
  const deployments = [
    // Fast, but with few requests and few tokens a minute.
    { model: 'local::swift', rpm: 60, tpm: 2500 },
    // Fast too, but down for its first three seconds.
    { model: 'local::shaky', rpm: 60, maxConcurrent: 4 },
    // Slow and always there, now and then with a 429; it has the room that the others lack.
    { model: 'local::steady', maxConcurrent: 6 },
  ]
  const provider = { type: 'openai-compatible', name: 'local', baseUrl: server.url }
  // A rest of a second instead of five, so that the recovery can be seen.
  const retry = { cooldownMs: 1000 }
  return { where: server.url, provider, deployments, count: 200, retry, close: () => server.close() }
}

/** Questions whose answers are all different. */
function questions(count) {
  return Array.from({ length: count }, (_, index) => {
    const [left, right] = [101 + index, 1009 + 7 * index]
    const text = `What is ${left} + ${right}? Answer with the number.`
    return {
      text,
      request: { message: text, temperature: 0, max_completion_tokens: 32 },
      expected: String(left + right),
    }
  })
}

/** Asks everything, in order, and shows how far it is. */
async function ask(title, router, asked) {
  const progress = showProgress(title, asked.length)
  const started = performance.now()
  const answers = []
  const requests = asked.map(({ request }) => request)
  for await (const answer of router.invokeMany(GROUP, requests, { concurrency: 32, onProgress: progress.update })) {
    answers.push(answer)
  }
  const tookMs = performance.now() - started
  progress.stop()
  return { title, answers, tookMs }
}

/** Every answer must be there and belong to its question. */
function check({ title, answers }, asked) {
  const wrong = asked.flatMap(({ text, expected }, index) => {
    const answer = answers[index]
    if (answer === undefined || answer instanceof Error) return [`${text} -> ${answer ?? 'nothing'}`]
    const digits = answer.content.replaceAll(/(?<=\d)[,.](?=\d{3})/g, '')
    return new RegExp(`\\b${expected}\\b`).test(digits) ? [] : [`${text} -> ${answer.content}, expected ${expected}`]
  })
  if (wrong.length > 0) {
    throw new Error(
      `${title}: ${wrong.length} of ${asked.length} answers are missing or wrong, e.g.\n  ${wrong.slice(0, 5).join('\n  ')}`,
    )
  }
}

function checkCached({ title, answers }, from) {
  const others = answers.filter((answer) => answer.cache !== from)
  if (others.length > 0) throw new Error(`${title}: ${others.length} answers came from elsewhere: "${others[0].cache}"`)
}

/** Who answered what, what waited, what failed over, tokens. */
function report({ answers }, router) {
  const rows = router.stats().groups[GROUP].deployments.map((deployment) => {
    const own = answers.filter((answer) => answer.deployment === deployment.model)
    const waited = own.filter((answer) => answer.queuedMs >= 1)
    const tookOver = own.filter(({ attempts }) => attempts.some((attempt) => attempt.deployment !== deployment.model))
    const limits = Object.entries(deployment.limits).map(([name, value]) => `${name} ${value}`)
    return {
      deployment: deployment.model,
      limits: limits.join(', ') || 'none',
      answered: own.length,
      waited: waited.length,
      longest: milliseconds(Math.max(0, ...waited.map((answer) => answer.queuedMs))),
      'failed tries': deployment.failed,
      'took over': tookOver.length,
      'tokens in': deployment.promptTokens,
      out: deployment.completionTokens,
      'median time': milliseconds(deployment.latencyMs.p50),
    }
  })
  return table(rows)
}

function failures({ answers }) {
  const counts = new Map()
  for (const { deployment, outcome, status } of answers.flatMap((answer) => answer.attempts)) {
    if (outcome === 'ok') continue
    const what = `${deployment}: ${outcome}${status ? ` (${status})` : ''}`
    counts.set(what, (counts.get(what) ?? 0) + 1)
  }
  return [...counts].map(([what, count]) => `  ${count} x ${what}`).join('\n')
}

function milliseconds(value) {
  return `${Math.round(value)} ms`
}

const directory = await mkdtemp(join(tmpdir(), 'thryd-demo-'))
let setting
try {
  setting = await setUp()
  const { where, provider, deployments, count, retry } = setting
  const options = () => ({
    providers: [provider],
    groups: { [GROUP]: { deployments } },
    cache: join(directory, 'cache.redb'),
    retry,
  })
  const asked = questions(count)
  console.log(
    `${count} questions to ${deployments.length} deployment${deployments.length === 1 ? '' : 's'} at ${where}\n`,
  )

  const router = new CompletionRouter(options())
  const sent = await ask('from the deployments', router, asked)
  check(sent, asked)
  const summary = report(sent, router)
  const again = await ask('from memory', router, asked)
  check(again, asked)
  checkCached(again, 'memory')
  const { cache } = router
  await router.close()
  await cache.close()

  // Another router on the same file, as the next process would find it.
  const next = new CompletionRouter(options())
  const stored = await ask('from disk', next, asked)
  check(stored, asked)
  checkCached(stored, 'disk')
  const nextCache = next.cache
  await next.close()
  await nextCache.close()

  console.log(`\n${summary}\n`)
  const failed = failures(sent)
  if (failed) console.log(`failed tries, none of which a caller saw:\n${failed}\n`)
  const times = [sent, again, stored].map(({ title, tookMs }) => ({
    run: title,
    'all answers after': milliseconds(tookMs),
    'per question': `${(tookMs / count).toFixed(3)} ms`,
  }))
  console.log(`${table(times)}\n\nEach of the ${3 * count} answers belongs to its question.`)
} catch (error) {
  console.error(`\nThe demo failed: ${error.stack ?? error}`)
  process.exitCode = 1
} finally {
  await setting?.close()
  await rm(directory, { recursive: true, force: true })
}
