// Many requests, 16 at once, with a progress bar; answers in the order of the questions; one that fails is an error in its place.

import { CompletionRouter } from 'thryd'

import { showProgress } from './demo/progress.mjs'

const router = new CompletionRouter({ cache: {} })
router.addProvider({ type: 'dummy', dummy: { latencyMs: [5, 40], seed: 1, cache: true } })
router.deploy('default', 'dummy::echo')

// The second half asks the same again; memory, or the call under way, answers it. The last one is no question.
const questions = Array.from({ length: 100 }, (_, number) => ({ message: `question ${number % 50}` }))
questions.push({})

let last
const bar = showProgress('questions', questions.length)
const answers = router.invokeMany('default', questions, {
  concurrency: 16,
  onProgress(progress) {
    last = progress
    bar.update(progress)
  },
})

const lines = []
for await (const answer of answers) {
  const number = lines.length
  lines.push(
    answer instanceof Error ? `${number}: ${answer.name}: ${answer.message}` : `${number}: ${answer} (${answer.cache})`,
  )
}
bar.stop()

for (const [number, line] of lines.entries()) if (number % 25 === 0) console.log(line)
console.log(`${last.done} done, ${last.failed} failed, ${last.cached} from the cache, ${last.tokens} tokens`)
