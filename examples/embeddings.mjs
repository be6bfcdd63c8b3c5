// Vectors of some sentences, and how alike they are, from the demo server, whose vectors depend on the words alone.

import { EmbeddingRouter } from 'thryd'

import { startServer } from './demo/server.mjs'

const server = await startServer()
// Memory only: no path.
const router = new EmbeddingRouter({ cache: {} })
router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
router.deploy('vectors', 'local::words')

const sentences = [
  'the cat sat on the mat',
  'a cat sat on a mat',
  'the dog sat on the sofa',
  'interest rates rose again',
]
const { vectors, usage } = await router.invoke('vectors', { input: sentences, dimensions: 64 })
console.log(`${vectors.length} vectors of ${vectors[0].length} numbers for ${usage.totalTokens} tokens\n`)

const width = Math.max(...sentences.map((sentence) => sentence.length))
for (const [row, sentence] of sentences.entries()) {
  const alike = vectors.map((vector) => cosine(vectors[row], vector).toFixed(2).padStart(6))
  console.log(`${sentence.padEnd(width)} ${alike.join('')}`)
}

// Each input is cached on its own: only the new one is sent.
const more = await router.invoke('vectors', { input: [sentences[0], 'something new'], dimensions: 64 })
console.log(`\nanother call, one sentence of two is new: ${more.usage.totalTokens} tokens`)

await router.close()
await server.close()

function cosine(left, right) {
  let [product, leftSquared, rightSquared] = [0, 0, 0]
  for (let place = 0; place < left.length; place += 1) {
    product += left[place] * right[place]
    leftSquared += left[place] ** 2
    rightSquared += right[place] ** 2
  }
  return product / Math.sqrt(leftSquared * rightSquared)
}
