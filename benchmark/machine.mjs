// What was measured, and where: the first lines of a report. And the server that stands for a provider.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'

export function introduce(
  how = 'medians of five rounds, contestants taking turns; the mock server shares the machine; CPU is that of this process',
) {
  // An optimised addon has about 10 MB, one of build:dev several times that.
  const addon = readdirSync(new URL('..', import.meta.url)).find((name) => name.endsWith('.node'))
  if (addon && statSync(new URL(`../${addon}`, import.meta.url)).size > 25e6) {
    console.log('CAUTION: the addon looks like one of `npm run build:dev`; `npm run build` makes the one to measure')
  }
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url)))
  console.log(
    `thryd ${version}, Node ${process.version}, ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, ${process.platform} ${process.arch}`,
  )
  console.log(how)
}

/** A server in a process of its own; it ends with ours. */
export async function startMock() {
  const mock = fork(new URL('mock.mjs', import.meta.url))
  const [port] = await once(mock, 'message')
  return { baseUrl: `http://127.0.0.1:${port}/v1`, stop: () => mock.disconnect() }
}
