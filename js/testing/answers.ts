/** Good answers: an echo, vectors that depend only on the text, shared words; in OpenAI's and Cohere's shapes. */

import type { Plan, ToolCall } from './behaviour'
import { Random, hash } from './random'

/** What a completion says. */
export interface Speech {
  content: string | null
  toolCalls: readonly ToolCall[] | undefined
  finishReason: string | null
}

type Body = Record<string, unknown>

/** What a completion says: what the plan gives, or an echo. */
export function speech(plan: Plan, body: Body): Speech {
  const { toolCalls } = plan
  const finishReason = plan.finishReason ?? (toolCalls === undefined ? 'stop' : 'tool_calls')
  const content = plan.content ?? (toolCalls === undefined ? echo(body) : null)
  return { content, toolCalls, finishReason }
}

/** Words stand for tokens, exactly and predictably. */
export function usage(body: Body, answer: string | null): string {
  let prompt = 0
  for (const message of items(body['messages'])) prompt += words(textOf(message['content']))
  const spoken = answer === null ? 0 : words(answer)
  return `{"prompt_tokens":${prompt},"completion_tokens":${spoken},"total_tokens":${prompt + spoken}}`
}

/** A whole completion; without a finish reason if that is null. */
export function completion(
  id: string,
  model: string,
  { content, toolCalls, finishReason }: Speech,
  body: Body,
): string {
  const calls = toolCalls === undefined ? '' : `,"tool_calls":${JSON.stringify(toolCalls)}`
  const message = `{"role":"assistant","content":${JSON.stringify(content)}${calls}}`
  const choice = `{"index":0,"message":${message},"finish_reason":${JSON.stringify(finishReason)}}`
  const head = `{"id":"${id}","object":"chat.completion","created":0,"model":${JSON.stringify(model)}`
  return `${head},"choices":[${choice}],"usage":${usage(body, content)}}`
}

/** A text in words, each with the space after it; together they are the text. */
export function pieces(text: string): string[] {
  return text.match(/\s*\S+\s*|\s+/g) ?? []
}

/** Vectors of length 1, one per input: as base64 of little-endian 32-bit floats if that is asked for. */
export function embeddings(model: string, body: Body): string {
  const inputs = [body['input']].flat().map((input) => (typeof input === 'string' ? input : JSON.stringify(input)))
  const asked = body['dimensions']
  const dimensions = typeof asked === 'number' && asked >= 1 && asked <= 65_536 ? Math.floor(asked) : 8
  const isBase64 = body['encoding_format'] === 'base64'
  const data = inputs.map((input, index) => {
    const vector = unitVector(input, dimensions)
    const embedding = isBase64 ? `"${Buffer.from(vector.buffer).toString('base64')}"` : `[${vector.join(',')}]`
    return `{"object":"embedding","index":${index},"embedding":${embedding}}`
  })
  const tokens = inputs.reduce((total, input) => total + words(input), 0)
  const used = `{"prompt_tokens":${tokens},"total_tokens":${tokens}}`
  return `{"object":"list","data":[${data.join(',')}],"model":${JSON.stringify(model)},"usage":${used}}`
}

/** The documents by the share of the query's words that they have, best first. */
export function ranking(model: string, body: Body): string {
  const query = wordSet(textOf(body['query']))
  const documents = list(body['documents']).map((document) =>
    typeof document === 'string' ? document : textOf((document as Body | null)?.['text']),
  )
  const scored = documents.map((document, index) => {
    const shared = [...wordSet(document)].filter((word) => query.has(word)).length
    return { index, relevance_score: shared / Math.max(query.size, 1) }
  })
  scored.sort((left, right) => right.relevance_score - left.relevance_score || left.index - right.index)
  const most = body['top_n']
  const results = typeof most === 'number' ? scored.slice(0, most) : scored
  const tokens = [...documents, textOf(body['query'])].reduce((total, text) => total + words(text), 0)
  return JSON.stringify({ model, results, usage: { prompt_tokens: tokens, total_tokens: tokens } })
}

/** The models that there are. */
export function models(names: readonly string[]): string {
  const data = names.map((id) => ({ id, object: 'model', created: 0, owned_by: 'thryd' }))
  return JSON.stringify({ object: 'list', data })
}

/** The text of the last message of the user, or of the last one. */
function echo(body: Body): string {
  const messages = items(body['messages'])
  const last = messages.findLast((message) => message['role'] === 'user') ?? messages.at(-1)
  return textOf(last?.['content'])
}

/** Text of a content: itself, or its parts' texts. */
export function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  return items(content)
    .map((part) => (typeof part['text'] === 'string' ? part['text'] : ''))
    .join('')
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

/** The objects of a list. */
export function items(value: unknown): Body[] {
  return list(value).filter((item): item is Body => typeof item === 'object' && item !== null)
}

/** Words stand for tokens. */
export function words(text: string): number {
  let count = 0
  let wasSpace = true
  for (let place = 0; place < text.length; place++) {
    const isSpace = text.charCodeAt(place) <= 32
    if (wasSpace && !isSpace) count += 1
    wasSpace = isSpace
  }
  return count
}

function wordSet(text: string): Set<string> {
  return new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu))
}

function unitVector(text: string, dimensions: number): Float32Array {
  const random = new Random(hash(text))
  // Never 0, so that there is a direction.
  const numbers = Float64Array.from({ length: dimensions }, () => random.next() - 0.5 + 2 ** -40)
  const norm = Math.hypot(...numbers)
  return Float32Array.from(numbers, (component) => component / norm)
}
