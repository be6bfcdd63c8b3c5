/** Good answers of the Responses API: an echo, or what the plan gives, whole and as events. */

import { type Speech, items, pieces, textOf, words } from './answers'
import type { Plan } from './behaviour'

type Body = Record<string, unknown>
type Fields = Record<string, unknown>

/** What an answer says: what the plan gives, or an echo. */
export function speech(plan: Plan, body: Body): Speech {
  const { toolCalls, finishReason = 'stop' } = plan
  const content = plan.content ?? (toolCalls === undefined ? (said(body).at(-1) ?? '') : null)
  return { content, toolCalls, finishReason }
}

/** A whole answer; one that is not done if it has no finish reason. */
export function whole(id: string, model: string, spoken: Speech, body: Body): string {
  const output = outputOf(spoken)
  return JSON.stringify(answer(id, model, spoken, output, usage(body, spoken.content)))
}

/** The events of an answer: what comes before its tokens, those, and what ends it. */
export function streamed(
  id: string,
  model: string,
  spoken: Speech,
  body: Body,
): { head: string; tokens: string[]; finish: string } {
  let sequence = 0
  const event = (type: string, fields: Fields): string => {
    const text = JSON.stringify({ type, sequence_number: sequence, ...fields })
    sequence += 1
    return `event: ${type}\ndata: ${text}\n\n`
  }
  const output = outputOf(spoken)
  const begun = { ...answer(id, model, spoken, [], null), status: 'in_progress', incomplete_details: null }
  const head = event('response.created', { response: begun }) + event('response.in_progress', { response: begun })
  const tokens: string[] = []
  // What comes between two tokens goes with the one after it, and what comes after the last with the end.
  let before = ''
  for (const [output_index, item] of output.entries()) {
    const at = { item_id: item['id'], output_index }
    const isCall = item['type'] === 'function_call'
    const empty = isCall ? { arguments: '' } : { content: [] }
    before += event('response.output_item.added', { output_index, item: { ...item, status: 'in_progress', ...empty } })
    if (isCall) {
      const name = 'response.function_call_arguments'
      tokens.push(before + event(`${name}.delta`, { ...at, delta: item['arguments'] }))
      before = event(`${name}.done`, { ...at, arguments: item['arguments'] })
    } else {
      const [part] = item['content'] as Fields[]
      const text = String(part?.['text'])
      const place = { ...at, content_index: 0 }
      before += event('response.content_part.added', { ...place, part: { ...part, text: '' } })
      for (const delta of pieces(text)) {
        tokens.push(before + event('response.output_text.delta', { ...place, delta, logprobs: [] }))
        before = ''
      }
      before += event('response.output_text.done', { ...place, text, logprobs: [] })
      before += event('response.content_part.done', { ...place, part })
    }
    before += event('response.output_item.done', { output_index, item })
  }
  const response = answer(id, model, spoken, output, usage(body, spoken.content))
  const finish = before + event(`response.${response['status'] as string}`, { response })
  return { head, tokens, finish }
}

/** What a provider says that fails in the middle. */
export const ERROR_EVENT =
  'event: error\ndata: {"type":"error","code":"server_error",' +
  '"message":"a fault of the server: an error inside the answer","param":null,"sequence_number":99}\n\n'

function answer(id: string, model: string, { finishReason }: Speech, output: Fields[], used: Fields | null): Fields {
  const reason = finishReason === 'length' ? 'max_output_tokens' : finishReason
  const isComplete = reason !== 'max_output_tokens' && reason !== 'content_filter'
  return {
    id: `resp_${id}`,
    object: 'response',
    created_at: 0,
    status: finishReason === null ? 'in_progress' : isComplete ? 'completed' : 'incomplete',
    error: null,
    incomplete_details: isComplete || finishReason === null ? null : { reason },
    model,
    output,
    usage: used,
  }
}

function outputOf({ content, toolCalls }: Speech): Fields[] {
  const output: Fields[] = []
  if (content !== null) {
    const part = { type: 'output_text', text: content, annotations: [] }
    output.push({ type: 'message', id: 'msg_0', status: 'completed', role: 'assistant', content: [part] })
  }
  for (const [place, call] of (toolCalls ?? []).entries()) {
    const { id: call_id, function: called } = call
    output.push({ type: 'function_call', id: `fc_${place}`, call_id, ...called, status: 'completed' })
  }
  return output
}

/** Words stand for tokens, exactly and predictably. */
function usage(body: Body, spoken: string | null): Fields {
  const asked = said(body).reduce((total, text) => total + words(text), 0)
  const given = spoken === null ? 0 : words(spoken)
  return {
    input_tokens: asked,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: given,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: asked + given,
  }
}

/** What a request says, text by text, the user's last. */
function said({ instructions, input }: Body): string[] {
  const texts =
    typeof input === 'string' ? [input] : items(input).map((item) => textOf(item['content'] ?? item['output']))
  return [textOf(instructions), ...texts].filter((text) => text !== '')
}
