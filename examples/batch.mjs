// Many requests, 16 at once, answers in the order of the questions; one that fails is an error in its place.

import { CompletionRouter } from 'thryd'

const router = new CompletionRouter({ cache: {} })
router.addProvider({ type: 'dummy', dummy: { latencyMs: [5, 40], seed: 1, cache: true } })
router.deploy('default', 'dummy::echo')

function* questions() {
  // The second half asks the same again; memory, or the call under way, answers it.
  for (let number = 0; number < 100; number += 1) yield { message: `question ${number % 50}` }
  yield {}
}

let last
const answers = router.invokeMany('default', questions(), {
  concurrency: 16,
  onProgress: (progress) => (last = progress),
})

let number = 0
for await (const answer of answers) {
  if (answer instanceof Error) console.log(`${number}: ${answer.name}: ${answer.message}`)
  else if (number % 25 === 0) console.log(`${number}: ${answer} (${answer.cache})`)
  number += 1
}
console.log(`${last.done} done, ${last.failed} failed, ${last.cached} from the cache, ${last.tokens} tokens`)
