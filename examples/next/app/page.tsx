'use client'

import { type FormEvent, useState } from 'react'

import { type Answer, ask } from './ask'

interface Turn extends Answer {
  question: string
  done: boolean
}

export default function Chat() {
  const [turns, setTurns] = useState<Turn[]>([])
  const [question, setQuestion] = useState('')
  const busy = turns.at(-1)?.done === false

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault()
    const asked = question.trim()
    if (busy || asked === '') return
    setQuestion('')
    setTurns((all) => [...all, { question: asked, text: '', done: false }])
    const change = (news: Partial<Turn>): void =>
      setTurns((all) => all.map((turn, place) => (place === all.length - 1 ? { ...turn, ...news } : turn)))
    try {
      for await (const answer of ask(asked)) change(answer)
    } catch (error) {
      change({ error: error instanceof Error ? error.message : String(error) })
    }
    change({ done: true })
  }

  return (
    <main>
      <header>
        <h1>thryd</h1>
        <p>Ask something, and then the same again.</p>
      </header>
      <ol aria-live="polite">
        {turns.map((turn, place) => (
          <li key={place} data-done={turn.done}>
            <p className="question">{turn.question}</p>
            <div className="answer">
              <p className={turn.done ? '' : 'writing'}>{turn.text}</p>
              {turn.error && <p className="error">{turn.error}</p>}
              {turn.deployment && (
                <footer>
                  {turn.deployment}
                  {isCached(turn.cache) && <span className="badge">from the cache ({turn.cache})</span>}
                </footer>
              )}
            </div>
          </li>
        ))}
      </ol>
      <form onSubmit={submit}>
        <input
          aria-label="Question"
          autoFocus
          onChange={(event) => setQuestion(event.target.value)}
          placeholder="Your question"
          value={question}
        />
        <button disabled={busy}>Ask</button>
      </form>
    </main>
  )
}

function isCached(cache: string | undefined): boolean {
  return cache === 'memory' || cache === 'disk'
}
