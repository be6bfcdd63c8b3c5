// A model that asks for a tool, is told its result, and answers. The dummy provider plays the model.

import { CompletionRouter } from 'thryd'

const router = new CompletionRouter()
const call = (id, city) => ({
  id,
  type: 'function',
  function: { name: 'weather', arguments: JSON.stringify({ city }) },
})
const script = [
  { tool_calls: [call('call_1', 'Oslo'), call('call_2', 'Rome')] },
  { content: 'Take an umbrella to Oslo; Rome is sunny.' },
]
router.addProvider({ type: 'dummy', dummy: { responses: script } })
router.deploy('default', 'dummy::model')

/** What the model may call, by name. */
const functions = { weather: ({ city }) => ({ city, sky: city === 'Oslo' ? 'rain' : 'sun' }) }
const tools = [
  {
    type: 'function',
    function: {
      name: 'weather',
      description: 'The weather of a city.',
      parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    },
  },
]

const messages = [{ role: 'user', content: 'What should I pack for Oslo, and for Rome?' }]
let answer = await router.invoke('default', { messages, tools })
while (answer.finishReason === 'tool_calls') {
  const calls = answer.toolCalls.map(({ id, name, arguments: text }) => ({
    id,
    type: 'function',
    function: { name, arguments: text },
  }))
  messages.push({ role: 'assistant', content: answer.content, tool_calls: calls })
  for (const { id, name, arguments: text } of answer.toolCalls) {
    const result = JSON.stringify(functions[name](JSON.parse(text)))
    console.log(`${name}(${text}) = ${result}`)
    messages.push({ role: 'tool', tool_call_id: id, content: result })
  }
  answer = await router.invoke('default', { messages, tools })
}
console.log(answer.content)
