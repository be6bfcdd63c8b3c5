import { describe, expect, test } from 'vitest'

import { ResponsesRouter } from '../..'
import { caught, collected } from '../support/caught'
import { serveFaults, server } from '../support/faults'
import { named } from '../support/responses'
import { text } from '../support/streams'

serveFaults()

const ask = (model: string, more: object = {}): Promise<Response> =>
  fetch(`${server.url}/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, input: 'one two three four', ...more }),
  })

/** How long a clock is. Where none is to run out, a slow machine shall not make one. */
const clockMs = (...models: string[]) => (models.some((model) => /^(stall|hang)/.test(model)) ? 1000 : 60_000)

/** A router whose models are asked in this order. */
function routed(...models: string[]): ResponsesRouter {
  const limit = clockMs(...models)
  const timeouts = { firstTokenMs: limit, idleMs: limit }
  const router = new ResponsesRouter({ timeouts, retry: { maxRetries: models.length, baseDelayMs: 0, cooldownMs: 1 } })
  router.addProvider(server.provider())
  for (const model of models) router.deploy('default', `faulty::${model}`)
  return router.configureGroup('default', { strategy: 'first-available' })
}

describe('the fault server', () => {
  test('answers the Responses API with an echo, whole and in events', async () => {
    const whole = (await (await ask('ok', { instructions: 'be brief' })).json()) as Record<string, unknown>
    expect(whole).toMatchObject({
      object: 'response',
      status: 'completed',
      model: 'ok',
      output: [{ type: 'message', content: [{ type: 'output_text', text: 'one two three four' }] }],
      usage: { input_tokens: 6, output_tokens: 4, total_tokens: 10 },
    })
    const input = [{ role: 'user', content: [{ type: 'input_text', text: 'hi' }] }]
    const events = named(await (await ask('ok', { input, stream: true })).text())
    expect(events.map(({ data }) => data['sequence_number'])).toEqual(events.map((_, place) => place))
    expect(events.at(-1)).toMatchObject({ name: 'response.completed', data: { response: { status: 'completed' } } })
    expect(events.filter(({ name }) => name === 'response.output_text.delta').map(({ data }) => data['delta'])).toEqual(
      ['hi'],
    )
  })

  test('has the calls, the words and the reasons of its script', async () => {
    server.script('m', [
      { toolCalls: [{ name: 'f', arguments: { a: 1 } }] },
      { content: 'cut', finishReason: 'length' },
      { content: 'filtered', finishReason: 'content_filter' },
    ])
    const router = routed('m')
    const asked = { input: 'hi' }
    expect((await router.stream('default', asked).response()).toolCalls).toEqual([
      { id: 'call_0', name: 'f', arguments: '{"a":1}' },
    ])
    expect(await router.invoke('default', asked)).toMatchObject({
      outputText: 'cut',
      incompleteReason: 'max_output_tokens',
    })
    const stream = await router.stream('default', asked).response()
    expect(stream).toMatchObject({ outputText: 'filtered', status: 'incomplete', incompleteReason: 'content_filter' })
  })

  test.each([
    'reset',
    'close',
    'hang',
    'stall',
    'cut',
    'end',
    'malformed',
    'errorEvent',
    'html',
    'empty',
    'status-503',
  ])('fails with %s, which others answer unseen', async (model) => {
    for (const isStream of [false, true]) {
      const router = routed(model, 'ok')
      const timeouts = { attemptMs: clockMs(model) }
      const answer = isStream
        ? await router.stream('default', { input: 'hi' }, { buffer: true, ...timeouts }).response()
        : await router.invoke('default', { input: 'hi' }, timeouts)
      expect(answer).toMatchObject({ outputText: 'hi', deployment: 'faulty::ok' })
      expect(answer.attempts.length).toBeGreaterThan(1)
    }
  })

  test.each(['noDone', 'cutAfterFinish', 'stallAfterFinish'])('is complete for all that with %s', async (model) => {
    expect((await routed(model).stream('default', { input: 'one two' }).response()).outputText).toBe('one two')
    expect((await routed(model).invoke('default', { input: 'one two' })).outputText).toBe('one two')
  })

  test('breaks a stream where it is told to', async () => {
    server.script('m', { fault: 'errorEvent', afterTokens: 2, tokenIntervalMs: 20 })
    const chunks: Parameters<typeof text>[0] = []
    const reading = async (): Promise<void> => {
      for await (const chunk of routed('m').stream('default', { input: 'one two three' })) chunks.push(chunk)
    }
    expect(await caught(reading())).toMatchObject({ code: 'ERR_INTERRUPTED', delivered: 'one two ' })
    expect(text(chunks)).toBe('one two ')
    expect(server.requests[0]?.tokens).toBe(2)
    expect(await collected(routed('ok').stream('default', { input: 'one two' }))).toHaveLength(2)
  })
})
