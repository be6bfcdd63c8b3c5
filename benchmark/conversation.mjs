// What is asked and answered when caches are measured: requests of 1 KiB, answers of 2 KiB, all different by a number.

const REQUEST_BYTES = 1024
const ANSWER_BYTES = 2048

const system = { role: 'system', content: 'You are a patient teacher. Answer in plain words, and give one example.' }
const words = 'Explain how a program that waits for the network differs from one that waits for the processor, '
const sentences =
  'Asynchronous code waits without blocking;\nsynchronous code blocks while it waits. A "promise" stands for what is not there yet. '

/** The request of this number, as one gives it to a client. */
export function requestOf(number) {
  return {
    messages: [system, { role: 'user', content: `${padding.request} (question ${digits(number)})` }],
    temperature: 0.7,
    max_completion_tokens: 200,
  }
}

/** The provider's answer to it: JSON text. */
export function answerOf(number) {
  return JSON.stringify({
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1732492812,
    model: 'mock',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: `Answer ${digits(number)}: ${padding.answer}` },
        finish_reason: 'stop',
      },
    ],
    usage: { prompt_tokens: 200, completion_tokens: 420, total_tokens: 620 },
  })
}

/** Fails unless this is the text of the answer of this number. */
export function check(content, number) {
  if (!content.startsWith(`Answer ${digits(number)}: `) || content.length !== padding.answer.length + 17) {
    throw new Error(`expected answer ${number}, got ${content.slice(0, 40)}`)
  }
}

/** A number of eight digits, so that everything stays as long as it is. */
export function digits(number) {
  return `${number}`.padStart(8, '0')
}

/**
 * As much of a text, again and again, as takes so many bytes in JSON. In one piece, as texts are that were read from somewhere: what is put
 * together of a thousand pieces is put together again by whoever reads what it is a part of.
 */
function fill(text, bytes) {
  let filled = ''
  for (let left = bytes, at = 0; left > 0; at += 1) {
    const character = text[at % text.length]
    const size = JSON.stringify(character).length - 2
    filled += size <= left ? character : '.'
    left -= Math.min(size, left)
  }
  return Buffer.from(filled).toString()
}

const padding = { request: '', answer: '' }
padding.request = fill(words, REQUEST_BYTES - JSON.stringify(requestOf(0)).length)
padding.answer = fill(sentences, ANSWER_BYTES - answerOf(0).length)
