// What `node benchmark/run.mjs` runs, in this order: each part a process, so that one that fails stops no other.

import { CONTESTS } from './contests.mjs'

const script = (file, ...args) => ({ file, args })

/** By name: the script and its arguments. What is optional runs only when it is named. */
export const PARTS = {
  ...Object.fromEntries(Object.keys(CONTESTS).map((name) => [name, script('contests.mjs', name)])),
  streams: script('streams.mjs'),
  gateway: script('gateway.mjs'),
  tokens: script('tokens.mjs'),
  memory: script('cache.mjs', '100000', 'memory'),
  file: script('cache.mjs', '100000', 'file'),
  misses: script('cache.mjs', '100000', 'misses'),
  storing: script('cache.mjs', '100000', 'storing'),
  reopened: script('cache.mjs', '100000', 'killed'),
  killed: script('killed.mjs'),
  start: script('start.mjs'),
  alone: script('alone.mjs'),
  miss: script('rust.mjs', 'miss'),
  scale: script('rust.mjs', 'scale'),
  criterion: script('rust.mjs', 'criterion'),
  profile: { ...script('profile.mjs'), isOptional: true },
}
