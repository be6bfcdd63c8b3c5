import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { CompletionRouter } from 'thryd'
import { toFetch } from 'thryd/fetch'

// Answers outlive the process; they are not asked for again after a restart.
const completion = new CompletionRouter({ cache: join(tmpdir(), 'thryd-next.redb') })
// It repeats what it is asked, at the pace of a model. Put a real provider in its place.
completion.addProvider({ type: 'dummy', dummy: { latencyMs: 200, tokenIntervalMs: 80, cache: true } })
completion.deploy('default', 'dummy::echo', { rpm: 60 })

export const POST = toFetch({ completion })
