/** The version of this package, which its native part must have too. Written by scripts/platforms.mjs. */
export const VERSION = '0.1.0'
