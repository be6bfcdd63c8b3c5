import { Cache, CompletionRouter, EmbeddingRouter, ProviderError, RerankRouter, countTokens } from 'thryd'
import type { Completion, CompletionChunk, RouterOptions } from 'thryd'
import { toFetch } from 'thryd/fetch'
import { FaultServer } from 'thryd/testing'
import type { FaultServerOptions } from 'thryd/testing'

import { claims } from './claims.cjs'

// What a compiler has to know of each way in.
const options: RouterOptions = { providers: [{ type: 'dummy' }] }
const typed = new CompletionRouter(options).deploy('default', 'dummy::echo')
const answer: Completion = await typed.invoke('default', { message: 'Hello' })
const text: string = answer.content
for await (const chunk of typed.stream('default', { message: text })) {
  const piece: CompletionChunk = chunk
  if (piece.type === 'content') piece.delta.toUpperCase()
}
const faults: FaultServerOptions = { seed: 7 }
const handler: (request: Request) => Promise<Response> = toFetch({ completion: typed })
const models: Response = await handler(new Request('http://thryd.local/v1/models'))
if (models.status !== 200 || faults.seed !== 7) throw new Error('what is typed is not there')
// @ts-expect-error: a completion has no vectors.
const none = (): unknown => answer.vectors
void none

const thryd = { Cache, CompletionRouter, EmbeddingRouter, ProviderError, RerankRouter, countTokens }
await claims(thryd, { toFetch }, { FaultServer })
