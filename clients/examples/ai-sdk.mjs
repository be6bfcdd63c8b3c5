// The Vercel AI SDK over a router: a stream, and a tool that the model calls. The server of `thryd/testing` plays the model.

import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai'
import { CompletionRouter } from 'thryd'
import { toFetch } from 'thryd/fetch'
import { FaultServer } from 'thryd/testing'

const server = await FaultServer.start()
server.script('packer', [
  { toolCalls: [{ name: 'weather', arguments: { city: 'Oslo' } }] },
  { content: 'Take an umbrella to Oslo.' },
])
const completion = new CompletionRouter({ providers: [server.provider('local')] })
completion.deploy('default', 'local::echo').deploy('packing', 'local::packer')

const thryd = createOpenAICompatible({
  name: 'thryd',
  baseURL: 'http://thryd.local/v1',
  fetch: toFetch({ completion }),
})
// The router tries again, and elsewhere.
const maxRetries = 0

// Names of models are groups.
const { textStream } = streamText({ model: thryd('default'), prompt: 'three small words', maxRetries })
for await (const text of textStream) process.stdout.write(`${text}|`)
console.log()

const weather = tool({
  description: 'The weather of a city.',
  inputSchema: jsonSchema({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }),
  execute({ city }) {
    console.log(`the weather of ${city} is asked for`)
    return { city, sky: 'rain' }
  },
})
const { text, response } = await generateText({
  model: thryd('packing'),
  prompt: 'What should I pack for Oslo?',
  tools: { weather },
  stopWhen: stepCountIs(3),
  maxRetries,
})
console.log(`${text} (${response.headers['x-thryd-deployment']})`)

await completion.close()
await server.close()
