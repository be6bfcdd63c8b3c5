/** A certificate authority that nobody knows, as a company's is, and certificates of it. Made by openssl for each run. */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll } from 'vitest'

/** What a TLS server shows. */
export interface Identity {
  cert: string
  key: string
}

/** The authority. Its files are there until the tests of the file have ended. */
export class Authority {
  /** The folder of its files. */
  readonly folder = mkdtempSync(join(tmpdir(), 'thryd-authority-'))
  /** The PEM file of its certificate. */
  readonly file = join(this.folder, 'authority.pem')

  constructor() {
    afterAll(() => rmSync(this.folder, { recursive: true, force: true }))
    const subject = ['-subj', '/CN=thryd test authority', '-days', '30']
    openssl('req', '-x509', ...NEW_KEY, '-keyout', this.#path('authority.key'), '-out', this.file, ...subject)
  }

  /** A certificate for these names. */
  identity(...names: string[]): Identity {
    const [key, request, cert, extensions] = ['key', 'csr', 'crt', 'ext'].map((end) => this.#path(`server.${end}`))
    openssl('req', '-new', ...NEW_KEY, '-keyout', key ?? '', '-out', request ?? '', '-subj', `/CN=${names[0]}`)
    const alternatives = names.map((name) => (/^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',')
    // macOS trusts no server whose certificate does not say that it is one.
    const lines = [
      'basicConstraints=critical,CA:FALSE',
      'extendedKeyUsage=serverAuth',
      `subjectAltName=${alternatives}`,
    ]
    writeFileSync(extensions ?? '', `${lines.join('\n')}\n`)
    const signer = ['-CA', this.file, '-CAkey', this.#path('authority.key'), '-CAcreateserial', '-days', '30']
    openssl('x509', '-req', '-in', request ?? '', '-out', cert ?? '', '-extfile', extensions ?? '', ...signer)
    return { cert: readFileSync(cert ?? '', 'utf8'), key: readFileSync(key ?? '', 'utf8') }
  }

  #path(name: string): string {
    return join(this.folder, name)
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

function openssl(...parameters: string[]): void {
  execFileSync('openssl', parameters, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 60_000 })
}
