/** OpenAI's API as the route speaks it, read without an SDK. */

/** What is known so far. */
export interface Answer {
  text: string
  /** Who answered. */
  deployment?: string
  /** Where the answer came from: `x-thryd-cache`. */
  cache?: string
  error?: string
}

/** The answer as it grows. Each question stands by itself, so the same words are the same request, and the cache knows it. */
export async function* ask(question: string): AsyncGenerator<Answer> {
  const response = await fetch('/api/v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'default', stream: true, messages: [{ role: 'user', content: question }] }),
  })
  if (!response.ok || response.body === null) throw new Error((await response.json()).error.message)
  const answer: Answer = {
    text: '',
    deployment: response.headers.get('x-thryd-deployment') ?? '',
    cache: response.headers.get('x-thryd-cache') ?? '',
  }
  for await (const data of events(response.body)) {
    if (data === '[DONE]') return
    const { choices, error } = JSON.parse(data)
    if (error) throw new Error(error.message)
    answer.text += choices[0]?.delta.content ?? ''
    yield { ...answer }
  }
}

/** The data of each event of a stream. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const lines = (rest + value).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.startsWith('data: ')) yield line.slice('data: '.length)
  }
}
