/** What tests of the Responses API share: answers and events as the API writes them. */

import { ResponsesRouter } from '../..'
import type { TestServer } from './server'

/** A router to this server whose deployments are tried in their order. */
export function respondingFrom(server: TestServer, deployments = ['local::m'], cache?: object): ResponsesRouter {
  const router = new ResponsesRouter({ retry: { baseDelayMs: 0, cooldownMs: 1 }, ...(cache && { cache }) })
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
  for (const model of deployments) router.deploy('default', model)
  return router.configureGroup('default', { strategy: 'first-available' })
}

/** An answer of one message. */
export function said(text: string, more: object = {}): Record<string, unknown> {
  const content = [{ type: 'output_text', text, annotations: [] }]
  return {
    id: 'resp_1',
    object: 'response',
    created_at: 1,
    status: 'completed',
    error: null,
    model: 'served-model',
    output: [{ type: 'message', id: 'msg_1', status: 'completed', role: 'assistant', content }],
    usage: { input_tokens: 3, output_tokens: 2, total_tokens: 5 },
    ...more,
  }
}

/** The events of that answer, in pieces. */
export function told(pieces: string[], more: object = {}): Record<string, unknown>[] {
  const text = pieces.join('')
  const response = said(text, more)
  const [item] = response['output'] as { content: object[] }[]
  const place = { item_id: 'msg_1', output_index: 0, content_index: 0 }
  const begun = { ...response, status: 'in_progress', output: [], usage: null }
  const events: { type: string; [field: string]: unknown }[] = [
    { type: 'response.created', response: begun },
    { type: 'response.in_progress', response: begun },
    { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress', content: [] } },
    { type: 'response.content_part.added', ...place, part: { type: 'output_text', text: '', annotations: [] } },
    ...pieces.map((delta) => ({ type: 'response.output_text.delta', ...place, delta, logprobs: [] })),
    { type: 'response.output_text.done', ...place, text, logprobs: [] },
    { type: 'response.content_part.done', ...place, part: item?.content[0] },
    { type: 'response.output_item.done', output_index: 0, item },
    { type: 'response.completed', response },
  ]
  for (const [number, event] of events.entries()) event['sequence_number'] = number
  return events
}

/** The events of a body, each by the name that its line gives it. */
export function named(text: string): { name: string; data: Record<string, unknown> }[] {
  return text
    .split('\n\n')
    .filter(Boolean)
    .map((lines) => {
      const [, name = '', data = ''] = /^event: (.*)\ndata: (.*)$/.exec(lines) ?? []
      return { name, data: JSON.parse(data) as Record<string, unknown> }
    })
}
