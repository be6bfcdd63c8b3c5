/** What tests of streams share. */

import { type CompletionChunk, CompletionRouter } from '../..'
import type { TestServer } from './server'

/** A router to this server whose deployments are tried in their order. */
export function streamingFrom(server: TestServer, deployments = ['local::m'], cache?: object): CompletionRouter {
  const router = new CompletionRouter({ retry: { baseDelayMs: 0, cooldownMs: 1 }, ...(cache && { cache }) })
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
  for (const model of deployments) router.deploy('default', model)
  return router.configureGroup('default', { strategy: 'first-available' })
}

/** The content of some chunks. */
export function text(chunks: CompletionChunk[]): string {
  return chunks.map((chunk) => (chunk.type === 'content' ? chunk.delta : '')).join('')
}
