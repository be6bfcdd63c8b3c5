// A project in an empty folder into which the package was installed as by its users, and what runs there.
import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const TIMEOUT_MS = 60_000
const INSTALL_TIMEOUT_MS = 300_000
const STOP_TIMEOUT_MS = 10_000
/** How much of what a failed child wrote is shown. */
const SHOWN = 4000

/** Children that are there now, each the first of a group of its own. */
const children = new Set()

function killGroup(child) {
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has ended.
  }
}

process.on('exit', () => children.forEach(killGroup))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))

/** The packages that a project needs beside thryd could not be had: a reason not to run, and no failure. */
export class Unavailable extends Error {}

export class Project {
  constructor(folder) {
    this.folder = folder
  }

  /** A new folder with what is in `projects/<name>` and in `projects/common`, and thryd. */
  static async create({ temporary, registry, node }, name) {
    const folder = mkdtempSync(join(temporary, `${name}-`))
    const project = new Project(folder)
    project.node = node
    for (const from of ['common', name]) {
      const source = join(import.meta.dirname, 'projects', from)
      const filter = (path) => !/node_modules|\.next/.test(path.slice(source.length))
      if (existsSync(source)) cpSync(source, folder, { recursive: true, filter })
    }
    if (!existsSync(join(folder, 'package.json'))) project.write('package.json', '{ "private": true }')
    project.write('.npmrc', `fund=false\naudit=false\nupdate-notifier=false\n${registry.setting}\n`)
    const quick = ['--loglevel=error', '--prefer-offline', '--fetch-retries=1', '--fetch-timeout=60000']
    const install = (...what) => project.run('npm', ['install', ...quick, ...what], { timeoutMs: INSTALL_TIMEOUT_MS })
    if (existsSync(join(folder, 'package-lock.json'))) {
      await install().catch((error) => {
        throw new Unavailable(`its packages could not be installed: ${error.message.split('\n')[0]}`, { cause: error })
      })
    }
    await install(registry.root)
    return project
  }

  path(...parts) {
    return join(this.folder, ...parts)
  }

  read(file) {
    return readFileSync(this.path(file), 'utf8')
  }

  write(file, text) {
    mkdirSync(dirname(this.path(file)), { recursive: true })
    writeFileSync(this.path(file), text)
  }

  remove(file) {
    rmSync(this.path(file), { recursive: true, force: true })
  }

  /** The version of a package that is installed here. */
  version(name) {
    return JSON.parse(this.read(`node_modules/${name}/package.json`)).version
  }

  /** A script of an installed package. */
  bin(name, command = name) {
    const { bin } = JSON.parse(this.read(`node_modules/${name}/package.json`))
    return this.path('node_modules', name, typeof bin === 'string' ? bin : bin[command])
  }

  /** Starts a program here: its promise `ended` gives what it wrote, or an error if it fails or does not end in time. */
  start(command, args = [], { timeoutMs = TIMEOUT_MS, env = {}, cwd = this.folder } = {}) {
    const clean = Object.fromEntries(
      Object.entries(process.env).filter(
        ([key]) => !/^(npm_(lifecycle|package|command|execpath)|NODE_(OPTIONS|PATH|ENV)|VITEST|THRYD)/.test(key),
      ),
    )
    const child = spawn(command, args, {
      cwd,
      env: { ...clean, NO_COLOR: '1', CI: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    children.add(child)
    const running = { child, output: '' }
    const heard = new Set()
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        running.output += text
        for (const tell of heard) tell()
      })
    }
    const line = [command, ...args].map((part) => part.replace(this.folder, '.')).join(' ')
    const fail = (what) => new Error(`${line}: ${what}\n${running.output.slice(-SHOWN)}`)
    running.ended = new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        killGroup(child)
        reject(fail(`did not end within ${timeoutMs / 1000} s`))
      }, timeoutMs)
      child.on('error', reject)
      child.on('close', (code, signal) => {
        clearTimeout(timer)
        children.delete(child)
        for (const tell of heard) tell()
        if (code === 0) resolve(running.output)
        else reject(fail(`ended with ${signal ?? `code ${code}`}`))
      })
    })
    // Who only wants to stop it does not wait for it.
    running.ended.catch(() => {})
    /** Waits until what it has written matches. */
    running.says = (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = pattern.exec(running.output)
          if (found) resolve(found)
          else if (child.exitCode !== null || child.signalCode !== null) reject(fail(`ended without ${pattern}`))
          else return
          heard.delete(look)
        }
        heard.add(look)
        look()
      })
    /** Tells it to end, and is sure that it does. */
    running.stop = async () => {
      let isLate = false
      const timer = setTimeout(() => {
        isLate = true
        killGroup(child)
      }, STOP_TIMEOUT_MS)
      child.kill()
      await running.ended.catch(() => {})
      clearTimeout(timer)
      // What it started may be there still.
      killGroup(child)
      if (isLate) throw fail(`did not end within ${STOP_TIMEOUT_MS / 1000} s of being told to`)
    }
    return running
  }

  run(command, args, options) {
    return this.start(command, args, options).ended
  }

  /** Runs a script of this project under Node, or what is named; it has to say at its end that it works. */
  async works(script, { node = this.node, args = [], says = 'works', ...options } = {}) {
    const output = await this.run(node, [...args, script], options)
    if (!output.includes(says)) throw new Error(`${script} ended without saying '${says}'\n${output.slice(-SHOWN)}`)
    return output
  }
}
