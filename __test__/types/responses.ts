/** Uses every name of the Responses API against the shipped typings. Never run, as `contract.ts`. */

import type { CustomProvider, ModelResponse, ResponsesRequest, ResponsesRouter, ResponsesStream, Served } from 'thryd'

import { invokeOptions, pieceOf, streamOptions } from './contract'

export async function responses(router: ResponsesRouter): Promise<void> {
  const asked: ResponsesRequest = { input: [{ role: 'user', content: 'Hi' }], previous_response_id: 'r', x: 1 }
  const stream: ResponsesStream = router.stream('default', asked, streamOptions)
  for await (const chunk of stream) pieceOf(chunk)
  const whole: ModelResponse = await stream.response()
  const { id, outputText, toolCalls, raw } = await router.invoke('default', asked, invokeOptions)
  const how: 'completed' | 'incomplete' = whole.status
  const why: string | undefined = whole.incompleteReason
  const common: Served = whole
  const own: CustomProvider = { name: 'mine', respond: async ({ input, model }) => `${model}: ${String(input)}` }
  router.addProvider(own)
  void [id, outputText.length, toolCalls[0]?.arguments, raw, how, why, common, `${whole}`]
}
