// The peers, each if it could be installed, and contestants made of them.

import { readFileSync } from 'node:fs'

const loaded = new Map()

/**
 * A contestant made of these peers, or one that says why it does not take part.
 *
 * @param names modules; the first one names the contestant
 * @param make gives what the contestant runs, of the modules
 * @param detail what it does, if that is not plain
 */
export async function peer(names, make, detail) {
  const modules = await Promise.all(names.map(load))
  const missing = modules.find((each) => each.missing)?.missing
  const name = [names[0], modules[0].version].filter(Boolean).join(' ') + (detail ? `, ${detail}` : '')
  if (missing) return { name, missing }
  try {
    return { name, run: await make(...modules.map((each) => each.module)) }
  } catch (error) {
    return { name, missing: error.message }
  }
}

/** A module, or why there is none. */
function load(name) {
  if (!loaded.has(name)) {
    loaded.set(
      name,
      import(name).then(
        (module) => ({ module, version: versionOf(name) }),
        (error) => ({ missing: error.message.split(/\n| imported from /)[0] }),
      ),
    )
  }
  return loaded.get(name)
}

export function versionOf(name) {
  const directory = name.split('/', name.startsWith('@') ? 2 : 1).join('/')
  return JSON.parse(readFileSync(new URL(`node_modules/${directory}/package.json`, import.meta.url))).version
}
