// A registry of the tarballs that were packed, on a port of this machine, for the scope of the platforms' packages: npm chooses among
// them by system, processor and libc, as it will among those that are published.
import { once } from 'node:events'
import { createReadStream, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'

const SCOPE = '@thryd'

/** Serves the folder that `scripts/pack.mjs` wrote. */
export async function startRegistry(pack, platforms) {
  const packed = JSON.parse(readFileSync(join(pack, 'index.json'), 'utf8'))
  const root = packed.find(({ platform }) => platform === null)
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url)
    const tarball = packed.find(({ file }) => path === `/tarballs/${file}`)
    if (tarball) {
      createReadStream(join(pack, tarball.file)).pipe(response)
      return
    }
    const platform = platforms.find(({ name }) => path === `/${name}`)
    const found = platform && packed.find(({ name }) => name === platform.name)
    response.statusCode = platform ? 200 : 404
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(platform ? describe(platform, found, root.version) : { error: 'not found' }))
  })

  /** What a registry says of a package: of one that was not packed too, since npm is to pass it by. */
  function describe({ name, os, cpu, libc }, found, version) {
    const { port } = server.address()
    const tarball = `http://127.0.0.1:${port}/tarballs/${found?.file ?? 'absent'}`
    const dist = { tarball, ...(found && { integrity: found.integrity }) }
    const manifest = { name, version, os: [os], cpu: [cpu], ...(libc && { libc: [libc] }), dist }
    // Yarn takes nothing that is new.
    const time = { [version]: '2020-01-01T00:00:00.000Z' }
    return { name, 'dist-tags': { latest: version }, versions: { [version]: manifest }, time }
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // Nothing waits for it.
  server.unref()
  return {
    root: join(pack, root.file),
    setting: `${SCOPE}:registry=http://127.0.0.1:${server.address().port}/`,
    close: () => server.close(),
  }
}
