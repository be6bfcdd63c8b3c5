// The page in a browser: an answer comes word by word, and the same question again is answered from the cache.
//
//   npm run next            from the root of the clone: installs, builds, and runs this

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { chromium } from 'playwright-core'

const QUESTION = 'Words come one after another, at the pace of a model.'
const TIMEOUT_MS = 60_000

// A new one, so that nothing is in the cache.
const folder = mkdtempSync(join(tmpdir(), 'thryd-next-'))
const server = await start()
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
  timeout: TIMEOUT_MS,
})
try {
  const page = await browser.newPage({ viewport: { width: 720, height: 400 } })
  page.setDefaultTimeout(TIMEOUT_MS)
  await page.goto(server.url)

  const first = await ask(page)
  assert.ok(first.length > 3, `the answer came in ${first.length} steps`)
  for (const [place, text] of first.entries()) {
    assert.ok(QUESTION.startsWith(text), `not the beginning of the answer: ${text}`)
    assert.ok(text.length > (first[place - 1] ?? '').length, 'the answer did not grow')
  }
  assert.equal(first.at(-1), QUESTION)
  assert.equal(await page.locator('.badge').count(), 0, 'the first answer was from the cache')

  const second = await ask(page)
  assert.equal(second.at(-1), QUESTION)
  assert.equal(await page.locator('li:last-child .badge').textContent(), 'from the cache (memory)')

  const [path] = process.argv.slice(2)
  if (path !== undefined) await page.screenshot({ path })
  console.log(`the answer came in ${first.length} steps; the second time it was from the cache`)
} finally {
  await browser.close()
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
}

/** Starts the application that was built, on a free port. */
async function start() {
  const next = join(import.meta.dirname, 'node_modules/next/dist/bin/next')
  const child = spawn(process.execPath, [next, 'start', '--hostname', '127.0.0.1', '--port', '0'], {
    cwd: import.meta.dirname,
    env: { ...process.env, TMPDIR: folder, NEXT_TELEMETRY_DISABLED: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const lines = createInterface(child.stdout)
  const late = setTimeout(() => {
    child.kill('SIGKILL')
    lines.close()
  }, TIMEOUT_MS)
  for await (const line of lines) {
    const [url] = /http:\/\/\S+/.exec(line) ?? []
    if (url === undefined) continue
    clearTimeout(late)
    const stop = async () => {
      const held = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS)
      child.kill()
      const [, signal] = await ended
      clearTimeout(held)
      assert.notEqual(signal, 'SIGKILL', 'the application did not end')
    }
    return { url, stop }
  }
  clearTimeout(late)
  throw new Error('the application did not start')
}

/** Asks as a reader does; gives each text that the answer was on its way. */
async function ask(page) {
  const turns = await page.locator('li').count()
  await page.evaluate(() => {
    const texts = []
    globalThis.texts = texts
    globalThis.watcher?.disconnect()
    globalThis.watcher = new MutationObserver(() => {
      const text = document.querySelector('li:last-child .answer p').textContent
      if (text !== '' && text !== texts.at(-1)) texts.push(text)
    })
    globalThis.watcher.observe(document.querySelector('ol'), { subtree: true, childList: true, characterData: true })
  })
  await page.getByLabel('Question').pressSequentially(QUESTION)
  await page.getByRole('button').click()
  await page.locator(`li:nth-child(${turns + 1})[data-done=true]`).waitFor()
  return page.evaluate(() => globalThis.texts)
}
