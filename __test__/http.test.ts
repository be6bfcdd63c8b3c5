import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'

import { CompletionRouter, ExhaustedError, ProviderError, type RouterOptions } from '..'
import { caught } from './support/caught'
import { TestServer, chat, echo, inTurn, send, status } from './support/server'

let server: TestServer

beforeAll(async () => {
  server = await TestServer.start()
})
beforeEach(() => server.reset())
afterAll(() => server.close())

/** A router with one deployment of the server, or with these. */
function routed(options: RouterOptions = {}, deployments = ['local::m']): CompletionRouter {
  const router = new CompletionRouter({ retry: { baseDelayMs: 0, cooldownMs: 1 }, ...options })
  router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url, apiKey: 'sk-local' })
  for (const model of deployments) router.deploy('default', model)
  router.configureGroup('default', { strategy: 'first-available' })
  return router
}

describe('what goes out', () => {
  test('is the caller’s body behind the model, to the byte, with the message spelled out in its place', async () => {
    const request = {
      temperature: 0.7,
      message: 'Grüße, \u2028 "you"\n',
      max_completion_tokens: 200,
      x_unknown: { deep: [1, null, 1.5e300, 'é'] },
      logit_bias: { '50256': -100 },
    }
    await routed().invoke('default', request, { priority: 3, queueMs: 5 })
    const { message, temperature, ...rest } = request
    expect(server.last.json).toEqual({
      model: 'm',
      messages: [{ role: 'user', content: message }],
      temperature,
      ...rest,
    })
    expect(Object.keys(server.last.json)).toEqual([
      'model',
      'temperature',
      'messages',
      'max_completion_tokens',
      'x_unknown',
      'logit_bias',
    ])
    expect(server.last.text).toMatch(/^\{"model":"m","temperature":0\.7,"messages":\[\{/)
    expect(server.last.text).toContain('"x_unknown":{"deep":[1,null,1.5e+300,"é"]},"logit_bias":{"50256":-100}}')
  })

  test('goes to the chat endpoint with the key, as JSON, and says who asks', async () => {
    await routed().invoke('default', { message: 'Hi' })
    const { path, headers } = server.last
    expect(path).toBe('/v1/chat/completions')
    expect(headers).toMatchObject({ authorization: 'Bearer sk-local', 'content-type': 'application/json' })
    expect(headers['user-agent']).toMatch(/^thryd\//)
    expect(headers['content-length']).toBe(String(Buffer.byteLength(server.last.text)))
  })

  test('has nothing of thryd’s own, nor what a whole answer does not need', async () => {
    const request = { message: 'Hi', model: 'theirs', stream: true, stream_options: {}, seed: null as never }
    await routed().invoke('default', request)
    expect(server.last.text).toBe('{"model":"m","messages":[{"role":"user","content":"Hi"}]}')
  })

  test('has the headers that the options add, and no key where there is none', async () => {
    const router = new CompletionRouter()
    router.addProvider({ type: 'openai-compatible', baseUrl: server.url, headers: { 'X-Team': 'blue' } })
    router.deploy('default', 'openai-compatible::a::b')
    await router.invoke('default', { message: 'Hi' })
    expect(server.last.headers['x-team']).toBe('blue')
    expect(server.last.headers.authorization).toBeUndefined()
    expect(server.last.json['model']).toBe('a::b')
  })

  test('is what it was, messages of every role and a tool’s answer included', async () => {
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: [{ type: 'text', text: 'Weather?' }] },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Bonn"}' } }],
      },
      { role: 'tool', tool_call_id: 'call_1', content: '21 C' },
    ]
    const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }]
    server.answer = status(200, chat('21 degrees'))
    const answer = await routed().invoke('default', { messages, tools, tool_choice: 'auto' })
    expect(server.last.text).toBe(JSON.stringify({ model: 'm', messages, tools, tool_choice: 'auto' }))
    expect(answer.content).toBe('21 degrees')
  })
})

describe('what comes back', () => {
  test('is the text, who said it, why it ended and what it cost', async () => {
    const usage = {
      prompt_tokens: 1000,
      completion_tokens: 100,
      total_tokens: 1100,
      prompt_tokens_details: { cached_tokens: 400 },
      completion_tokens_details: { reasoning_tokens: 60 },
    }
    server.answer = status(200, chat('Hello', { usage }))
    const router = new CompletionRouter()
    router.addProvider({ type: 'openai-compatible', name: 'local', baseUrl: server.url })
    router.deploy('default', 'local::m', { price: { prompt: 2, completion: 8, cachedPrompt: 0.5 } })
    const answer = await router.invoke('default', { message: 'Hi' })
    expect(`${answer}`).toBe('Hello')
    expect(answer).toMatchObject({ content: 'Hello', finishReason: 'stop', toolCalls: [] })
    expect(answer).toMatchObject({ deployment: 'local::m', model: 'served-model', cache: 'off' })
    expect(answer.usage).toEqual({
      promptTokens: 1000,
      completionTokens: 100,
      totalTokens: 1100,
      cachedPromptTokens: 400,
      reasoningTokens: 60,
      cost: (600 * 2 + 400 * 0.5 + 100 * 8) / 1e6,
    })
    expect(answer.attempts).toMatchObject([{ deployment: 'local::m', outcome: 'ok' }])
    const [deployment] = router.stats().groups['default']?.deployments ?? []
    expect(deployment).toMatchObject({ succeeded: 1, failed: 0, promptTokens: 1000, completionTokens: 100 })
    expect(deployment?.window).toEqual({ requests: 1, tokens: 1100 })
  })

  test('has the tool calls as the model wrote them', async () => {
    const tool_calls = [
      { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city": "Bonn"' } },
      { id: 'call_2', type: 'function', function: { name: 'time', arguments: '{}' } },
    ]
    const choices = [
      { index: 0, message: { role: 'assistant', content: null, tool_calls }, finish_reason: 'tool_calls' },
    ]
    server.answer = status(200, chat('', { choices }))
    const answer = await routed().invoke('default', { message: 'Weather?', tools: [] })
    expect(answer).toMatchObject({ content: '', finishReason: 'tool_calls' })
    expect(answer.toolCalls).toEqual([
      { id: 'call_1', name: 'weather', arguments: '{"city": "Bonn"' },
      { id: 'call_2', name: 'time', arguments: '{}' },
    ])
  })

  test('is at hand as the provider said it, parsed only for whoever reads it', async () => {
    const body = chat('Hello', { system_fingerprint: 'fp', x_groq: { id: 'req' } })
    server.answer = status(200, body)
    const parse = vi.spyOn(JSON, 'parse')
    try {
      const answer = await routed().invoke('default', { message: 'Hi' })
      expect(parse.mock.calls.filter(([text]) => String(text).includes('x_groq'))).toEqual([])
      expect(answer.raw).toEqual(body)
      expect(answer.raw).toBe(answer.raw)
      expect(parse.mock.calls.filter(([text]) => String(text).includes('x_groq'))).toHaveLength(1)
    } finally {
      parse.mockRestore()
    }
  })

  test('has usage that was counted here if the provider did not say', async () => {
    const { usage: _, ...silent } = chat('Hello there') as Record<string, unknown>
    server.answer = status(200, silent)
    const answer = await routed().invoke('default', { message: 'Hi' })
    expect(answer.usage.estimated).toBe(true)
    expect(answer.usage.completionTokens).toBeGreaterThan(0)
    expect(answer.usage.promptTokens).toBeGreaterThan(0)
  })

  test('comes over one connection if the calls come one after the other', async () => {
    const router = routed()
    await router.invoke('default', { message: 'first' })
    const before = server.connections
    for (let call = 0; call < 20; call += 1) await router.invoke('default', { message: `call ${call}` })
    expect(server.connections).toBe(before)
    expect(server.seen).toHaveLength(21)
  })

  test('is not shared between two questions that differ in a field', async () => {
    server.answer = (seen, response) => send(response, chat(seen.text))
    const router = routed({ cache: {} })
    const ask = (temperature: number) => router.invoke('default', { message: 'Hi', temperature })
    const answers = [await ask(0), await ask(1), await ask(0)]
    expect(answers.map(({ cache }) => cache)).toEqual(['miss', 'miss', 'memory'])
    expect(answers[2]?.content).toBe(answers[0]?.content)
    expect(answers[2]?.attempts).toEqual([])
    expect(answers[1]?.content).not.toBe(answers[0]?.content)
  })
})

describe('openai', () => {
  test('takes its key and its address from the environment', async () => {
    vi.stubEnv('OPENAI_API_KEY', 'sk-from-environment')
    vi.stubEnv('OPENAI_BASE_URL', `${server.url}/`)
    try {
      const router = new CompletionRouter().addProvider({ type: 'openai' }).deploy('default', 'openai::gpt-4o')
      await router.invoke('default', { message: 'Hi', max_completion_tokens: 5 })
    } finally {
      vi.unstubAllEnvs()
    }
    expect(server.last.path).toBe('/v1/chat/completions')
    expect(server.last.headers.authorization).toBe('Bearer sk-from-environment')
    expect(server.last.text).toBe(
      '{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}],"max_completion_tokens":5}',
    )
  })

  test('keeps what it was told when the environment changes later', async () => {
    vi.stubEnv('OPENAI_API_KEY', 'sk-first')
    try {
      const router = new CompletionRouter().addProvider({ type: 'openai', baseUrl: server.url })
      vi.stubEnv('OPENAI_API_KEY', 'sk-second')
      await router.deploy('default', 'openai::m').invoke('default', { message: 'Hi' })
    } finally {
      vi.unstubAllEnvs()
    }
    expect(server.last.headers.authorization).toBe('Bearer sk-first')
  })
})

describe('a status that is no success', () => {
  const error = (message: string, code: string | null = null) => ({ error: { message, type: 'error', code } })

  test('500 is tried again, and the answer says so', async () => {
    server.answer = inTurn(status(500, error('oops')), echo)
    const answer = await routed().invoke('default', { message: 'Hi' })
    expect(answer.attempts).toMatchObject([
      { deployment: 'local::m', outcome: 'transient', status: 500 },
      { deployment: 'local::m', outcome: 'ok' },
    ])
    expect(answer.attempts[0]?.message).toContain('oops')
    expect(answer.content).toBe('Hi')
  })

  test('429 rests the deployment, and the other one answers at once', async () => {
    const limited = status(429, error('Rate limit reached', 'rate_limit_exceeded'), { 'retry-after': 20 })
    server.answer = (seen, response) => (seen.json['model'] === 'a' ? limited : echo)(seen, response)
    const router = routed({}, ['local::a', 'local::b'])
    const answer = await router.invoke('default', { message: 'Hi' })
    expect(answer.attempts).toMatchObject([{ outcome: 'rate-limited', status: 429 }, { deployment: 'local::b' }])
    const again = await router.invoke('default', { message: 'Hi again' })
    expect(again.attempts).toMatchObject([{ deployment: 'local::b', outcome: 'ok' }])
    const [a] = router.stats().groups['default']?.deployments ?? []
    expect(a?.restMs).toBeGreaterThan(10_000)
    expect(a?.restMs).toBeLessThanOrEqual(20_000)
  })

  test('400 is the caller’s: nobody else is asked', async () => {
    server.answer = status(400, error('temperature is too high'), { 'x-request-id': 'req_7' })
    const failure = await caught(routed({}, ['local::a', 'local::b']).invoke('default', { message: 'Hi' }))
    expect(failure).toBeInstanceOf(ProviderError)
    expect(failure).toMatchObject({ code: 'ERR_PROVIDER', status: 400, deployment: 'local::a', requestId: 'req_7' })
    expect(failure).toMatchObject({ retryable: false, body: JSON.stringify(error('temperature is too high')) })
    expect(failure.message).toContain('temperature is too high')
    expect(failure['attempts']).toMatchObject([{ outcome: 'rejected', status: 400 }])
    expect(server.seen).toHaveLength(1)
  })

  test('404 says that the model is not there, and the other one is asked', async () => {
    const missing = status(404, error('The model `a` does not exist', 'model_not_found'))
    server.answer = (seen, response) => (seen.json['model'] === 'a' ? missing : echo)(seen, response)
    const answer = await routed({}, ['local::a', 'local::b']).invoke('default', { message: 'Hi' })
    expect(answer.attempts).toMatchObject([{ outcome: 'auth', status: 404 }, { outcome: 'ok' }])
  })

  test('everywhere and always ends with every failure, in order', async () => {
    server.answer = status(503, error('overloaded'))
    const failure = await caught(
      routed({ retry: { maxRetries: 2, baseDelayMs: 0, cooldownMs: 1 } }).invoke('default', { message: 'Hi' }),
    )
    expect(failure).toBeInstanceOf(ExhaustedError)
    const { errors } = failure as unknown as ExhaustedError
    expect(errors.map((each) => (each as ProviderError).status)).toEqual([503, 503, 503])
    expect(failure['attempts']).toHaveLength(3)
    expect(failure).toMatchObject({ code: 'ERR_EXHAUSTED', retryable: true })
  })

  test('is less than nobody listening, which costs no quota', async () => {
    // A port that the system gives to nobody else.
    const url = 'http://127.0.0.1:1/v1'
    const router = new CompletionRouter({ retry: { maxRetries: 1, baseDelayMs: 0, cooldownMs: 1 } })
    router.addProvider({ type: 'openai-compatible', name: 'gone', baseUrl: url }).deploy('default', 'gone::m')
    const failure = await caught(router.invoke('default', { message: 'Hi' }))
    expect(JSON.stringify(failure['attempts'])).toContain(`connection refused by ${new URL(url).origin}`)
    expect(router.stats().groups['default']?.deployments[0]?.window).toEqual({ requests: 0, tokens: 0 })
  })
})
