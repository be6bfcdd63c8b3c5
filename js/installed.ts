/**
 * The packages that hold the addon, each required by its name in full, which is what file tracers read, and within a `try`,
 * without which bundlers refuse what is not installed. webpack leaves each to Node, having settled what comes before the question
 * mark, and Next.js traces it in what webpack wrote. Written by scripts/platforms.mjs.
 */

declare const __webpack_require__: unknown
declare const __non_webpack_require__: NodeJS.Require

function passOn(error: unknown): never {
  throw error
}

/** By the name of the platform. */
export const INSTALLED: Record<string, () => unknown> = {
  'linux-x64-gnu': () => {
    try {
      return typeof __webpack_require__ === 'function'
        ? __non_webpack_require__('@thryd/binding-linux-x64-gnu')
        : require('@thryd/binding-linux-x64-gnu')
    } catch (error) {
      return passOn(error)
    }
  },
  'linux-arm64-gnu': () => {
    try {
      return typeof __webpack_require__ === 'function'
        ? __non_webpack_require__('@thryd/binding-linux-arm64-gnu')
        : require('@thryd/binding-linux-arm64-gnu')
    } catch (error) {
      return passOn(error)
    }
  },
  'linux-x64-musl': () => {
    try {
      return typeof __webpack_require__ === 'function'
        ? __non_webpack_require__('@thryd/binding-linux-x64-musl')
        : require('@thryd/binding-linux-x64-musl')
    } catch (error) {
      return passOn(error)
    }
  },
  'linux-arm64-musl': () => {
    try {
      return typeof __webpack_require__ === 'function'
        ? __non_webpack_require__('@thryd/binding-linux-arm64-musl')
        : require('@thryd/binding-linux-arm64-musl')
    } catch (error) {
      return passOn(error)
    }
  },
  'darwin-x64': () => {
    try {
      return typeof __webpack_require__ === 'function'
        ? __non_webpack_require__('@thryd/binding-darwin-x64')
        : require('@thryd/binding-darwin-x64')
    } catch (error) {
      return passOn(error)
    }
  },
  'darwin-arm64': () => {
    try {
      return typeof __webpack_require__ === 'function'
        ? __non_webpack_require__('@thryd/binding-darwin-arm64')
        : require('@thryd/binding-darwin-arm64')
    } catch (error) {
      return passOn(error)
    }
  },
  'win32-x64-msvc': () => {
    try {
      return typeof __webpack_require__ === 'function'
        ? __non_webpack_require__('@thryd/binding-win32-x64-msvc')
        : require('@thryd/binding-win32-x64-msvc')
    } catch (error) {
      return passOn(error)
    }
  },
  'win32-arm64-msvc': () => {
    try {
      return typeof __webpack_require__ === 'function'
        ? __non_webpack_require__('@thryd/binding-win32-arm64-msvc')
        : require('@thryd/binding-win32-arm64-msvc')
    } catch (error) {
      return passOn(error)
    }
  },
}
