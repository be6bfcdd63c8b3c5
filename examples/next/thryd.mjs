// The package of this clone, copied to where one from the registry would be: a link would lead outside of the application, where
// Next.js does not see that it is a package, and bundles it.

import { cpSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const clone = join(import.meta.dirname, '../..')
const place = join(import.meta.dirname, 'node_modules/thryd')

rmSync(place, { recursive: true, force: true })
for (const name of readdirSync(clone)) {
  if (/^(package\.json|dist|.*\.d\.ts|.*\.node)$/.test(name))
    cpSync(join(clone, name), join(place, name), { recursive: true })
}
