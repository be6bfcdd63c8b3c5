/** Asking a handler of `thryd/fetch` as clients do. */

import { expect } from 'vitest'

import type { FetchHandler } from 'thryd/fetch'

/** Where no server listens. */
export const BASE = 'http://thryd.local/v1'

/** Posts JSON, or text as it is. */
export function post(
  handler: FetchHandler,
  path: string,
  body: unknown,
  { headers, ...init }: { headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<Response> {
  return handler(BASE + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer client-key', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...init,
  })
}

/** Asks the group `default` for a chat. */
export function chat(
  handler: FetchHandler,
  content: string,
  more: object = {},
  init: Parameters<typeof post>[3] = {},
): Promise<Response> {
  const messages = [{ role: 'user', content }]
  return post(handler, '/chat/completions', { model: 'default', messages, ...more }, init)
}

/** OpenAI's error object. */
export interface WireError {
  message: string
  type: string
  param: string | null
  code: string | null
}

/** What a refusal says, of which the shape is checked. */
export async function refused(response: Response): Promise<WireError & { status: number }> {
  expect(response.headers.get('content-type')).toBe('application/json')
  expect(response.headers.get('x-request-id')).toBeTruthy()
  const body = (await response.json()) as { error: WireError }
  expect(Object.keys(body)).toEqual(['error'])
  expect(Object.keys(body.error).toSorted()).toEqual(['code', 'message', 'param', 'type'])
  expect(body.error.message).toBeTruthy()
  return { ...body.error, status: response.status }
}

/** The data of a stream's events. */
export async function events(response: Response): Promise<string[]> {
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
  return dataOf(await response.text())
}

/** The data of the events in a text. */
export function dataOf(text: string): string[] {
  return text
    .split('\n\n')
    .filter(Boolean)
    .map((event) => event.replace(/^data: /, ''))
}

/** What was read before a body ended, and the error that it ended with, if one did. */
export async function untilItBreaks(response: Response): Promise<{ data: string[]; error: unknown }> {
  let text = ''
  const decoder = new TextDecoder()
  try {
    for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>)
      text += decoder.decode(bytes, { stream: true })
  } catch (error) {
    return { data: dataOf(text), error }
  }
  return { data: dataOf(text), error: undefined }
}
