// Opening a file whose process was killed (SIGKILL) while it was writing, with all entries in it.
//
//   node benchmark/cache/killed.mjs <contestant> <directory>     the process that is killed

import { spawnSync } from 'node:child_process'
import { closeSync, copyFileSync, fsyncSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { median, print } from '../contest.mjs'

const TIMES = 7
const self = fileURLToPath(import.meta.url)
const { Cache, CompletionRouter } = createRequire(import.meta.url)('../..')

/** How each opens the file of its name in a directory, and closes it; and writes something new to it without end. */
const contestants = {
  thryd: {
    open: async (directory) => {
      const cache = await Cache.open({ path: join(directory, 'thryd'), maxBytes: 2 ** 32 })
      return () => cache.close()
    },
    write: async (directory, count) => {
      const cache = await Cache.open({ path: join(directory, 'thryd'), maxBytes: 2 ** 32 })
      const router = new CompletionRouter()
      router.mountCache(cache)
      router.addProvider({ type: 'dummy', name: 'self', dummy: { responses: [text], repeat: true, cache: true } })
      router.deploy('default', 'self::model')
      const requests = Array.from({ length: count }, (_, number) => ({ message: `${number} ${question}` }))
      for await (const answer of router.invokeMany('default', requests)) if (answer instanceof Error) throw answer
    },
  },
  lmdb: {
    open: async (directory) => {
      const { open } = await import('lmdb')
      const database = open({ path: join(directory, 'lmdb.mdb') })
      database.get('0')
      return () => database.close()
    },
    write: async (directory, count) => {
      const { open } = await import('lmdb')
      const database = open({ path: join(directory, 'lmdb.mdb') })
      for (let number = 0; number < count; number += 1) {
        database.put(`${number}`, { question, text })
        if (number % 1000 === 0) await database.flushed
      }
    },
  },
  'better-sqlite3': {
    open: async (directory) => {
      const { default: Database } = await import('better-sqlite3')
      const database = new Database(join(directory, 'better-sqlite3'))
      database.prepare('SELECT value FROM answers WHERE key = ?').get('0')
      return () => database.close()
    },
    write: async (directory, count) => {
      const { default: Database } = await import('better-sqlite3')
      const database = new Database(join(directory, 'better-sqlite3'))
      database.pragma('journal_mode = WAL')
      database.pragma('synchronous = NORMAL')
      database.exec('CREATE TABLE answers (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID')
      const insert = database.prepare('INSERT INTO answers VALUES (?, ?)')
      for (let number = 0; number < count; number += 1) insert.run(`${number}`, text)
    },
  },
}
const question = 'What is the difference between waiting for the network and waiting for the processor? '.repeat(10)
const text = 'Asynchronous code waits without blocking; synchronous code blocks while it waits. '.repeat(23)

if (process.argv[1] === self) {
  const [, , name, directory, count] = process.argv
  await contestants[name].write(directory, Number(count))
  process.kill(process.pid, 'SIGKILL')
}

/** A copy that is on the disk, so that its opening does not wait for what the copying left to do. */
function copy(from, to) {
  mkdirSync(to)
  for (const name of readdirSync(from)) {
    copyFileSync(join(from, name), join(to, name))
    const file = openSync(join(to, name), 'r+')
    fsyncSync(file)
    closeSync(file)
  }
}

async function measure(name, directory, entries) {
  const made = join(directory, `killed-${name}`)
  mkdirSync(made)
  const { signal, stderr } = spawnSync(process.execPath, [self, name, made, entries], { encoding: 'utf8' })
  if (signal !== 'SIGKILL')
    return [
      name,
      `not measured: ${stderr
        .trim()
        .split('\n')
        .find((line) => /Error/.test(line))}`,
    ]
  const times = []
  for (let time = 0; time < TIMES; time += 1) {
    const copied = join(directory, `killed-${name}-${time}`)
    copy(made, copied)
    const begun = performance.now()
    const close = await contestants[name].open(copied)
    times.push(performance.now() - begun)
    await close()
    rmSync(copied, { recursive: true })
  }
  const [least, most] = [Math.min(...times), Math.max(...times)]
  return [name, `${median(times).toFixed(2)} ms`, `${least.toFixed(2)} - ${most.toFixed(2)}`]
}

export async function killed(directory, entries) {
  const rows = []
  for (const name of Object.keys(contestants)) rows.push(await measure(name, directory, entries))
  print(`a file of ${entries.toLocaleString('en')} entries is opened after its process was killed`, [
    ['', 'time', 'least - most'],
    ...rows,
  ])
}
