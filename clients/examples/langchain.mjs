// LangChain.js over a router: a chain, its stream, and texts by likeness to a question. Nothing listens, no key is needed.

import { StringOutputParser } from '@langchain/core/output_parsers'
import { ChatPromptTemplate } from '@langchain/core/prompts'
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai'
import { CompletionRouter, EmbeddingRouter } from 'thryd'
import { toFetch } from 'thryd/fetch'

const providers = [{ type: 'dummy' }]
const completion = new CompletionRouter({ providers }).deploy('default', 'dummy::echo')
const embedding = new EmbeddingRouter({ providers }).deploy('vectors', 'dummy::vectors')

const configuration = { baseURL: 'http://thryd.local/v1', fetch: toFetch({ completion, embedding }) }
// `model` is the group. The router tries again, and elsewhere.
const options = { apiKey: 'unused', maxRetries: 0, configuration }
const model = new ChatOpenAI({ model: 'default', ...options })

const chain = ChatPromptTemplate.fromTemplate('say {what}').pipe(model).pipe(new StringOutputParser())
console.log(await chain.invoke({ what: 'three words' }))
for await (const text of await chain.stream({ what: 'it piece by piece' })) process.stdout.write(`${text}|`)
console.log()

const embeddings = new OpenAIEmbeddings({ model: 'vectors', ...options })
const vectors = await embeddings.embedDocuments(['green tea', 'interest rates'])
console.log(`${vectors.length} vectors of ${vectors[0].length} numbers`)
