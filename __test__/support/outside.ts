/** Asks providers from a process of its own, because the environment says once whom to trust and through whom to go. */

import { spawn } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')

/** The key that no error may show. */
export const KEY = 'sk-never-to-be-seen'

/** What a process is asked to ask. */
export interface Question {
  /** Base URLs, one after the other. */
  urls: string[]
  env: Record<string, string>
  /** Runs before anything is asked. */
  first?: string
  /** Runs all of it in a worker thread with these options, in JavaScript. */
  worker?: string
  /** What Node is told. */
  flags?: string[]
  /** @default 10000 */
  connectMs?: number
}

/** An answer's text, or an error. */
export type Outcome = string | { code: string; message: string }

const PROGRAM = `
  import { CompletionRouter } from 'thryd'
  const [urls, connectMs] = JSON.parse(process.argv.at(-1))
  const outcomes = []
  for (const baseUrl of urls) {
    const router = new CompletionRouter({ retry: { maxRetries: 0 }, timeouts: { connectMs } })
    router.addProvider({ type: 'openai-compatible', name: 'p', baseUrl, apiKey: '${KEY}', allowInsecureHttp: true })
    router.deploy('default', 'p::m')
    const { content, code, message } = await router.invoke('default', { message: 'Hi' }).catch((error) => error)
    outcomes.push(content ?? { code, message })
  }
  console.log(JSON.stringify(outcomes))
`

/** Asks. What the environment of the tests says of proxies and authorities is not passed on. */
export async function outcomes(question: Question): Promise<Outcome[]> {
  const { urls, env, first = '', worker, flags = [], connectMs = 10_000 } = question
  const isOurs = ([name]: [string, unknown]): boolean =>
    !/_proxy$|^SSL_CERT|^NODE_(EXTRA_CA|USE)|^REQUEST_METHOD$/i.test(name)
  const task = JSON.stringify([urls, connectMs])
  const program =
    worker === undefined
      ? first + PROGRAM
      : `import { SHARE_ENV, Worker } from 'node:worker_threads'
         new Worker(${JSON.stringify(first + PROGRAM)}, { eval: true, argv: [process.argv.at(-1)], ...(${worker}) })`
  const child = spawn(process.execPath, [...flags, '--input-type=module', '--eval', program, '--', task], {
    cwd: root,
    env: { ...Object.fromEntries(Object.entries(process.env).filter(isOurs)), ...env },
    timeout: connectMs + 35_000,
  })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const code = await new Promise((resolve) => child.on('close', resolve))
  if (code !== 0) throw new Error(`it ended with ${code}: ${stdout}${stderr}`)
  return JSON.parse(stdout) as Outcome[]
}

/** The one outcome of one URL. */
export async function outcome(
  url: string,
  env: Record<string, string>,
  more: Partial<Question> = {},
): Promise<Outcome> {
  return (await outcomes({ urls: [url], env, ...more }))[0] as Outcome
}
