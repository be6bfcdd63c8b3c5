// Documents by relevance, from the demo server, which scores by shared words.

import { RerankRouter } from 'thryd'

import { startServer } from './demo/server.mjs'

const server = await startServer()
const router = new RerankRouter()
router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
router.deploy('ranking', 'local::words')

const query = 'how do I limit requests per minute'
const documents = [
  'A cake needs eggs, flour and an hour.',
  'To limit requests per minute, give the deployment an rpm.',
  'Requests can be cancelled with an AbortSignal.',
]
const { results } = await router.invoke('ranking', { query, documents, top_n: 2 })
for (const { index, score } of results) console.log(score.toFixed(2), documents[index])

await router.close()
await server.close()
