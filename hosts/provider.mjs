// A provider for hosts whose code cannot start one: the server of thryd/testing, as it is installed in a project.
import { createRequire } from 'node:module'

const TIMEOUT_MS = 10_000

export async function startProvider(project) {
  const { FaultServer } = createRequire(project.path('package.json'))('thryd/testing')
  // The model `slow` is still at it when something else has happened.
  const server = await FaultServer.start({ models: { slow: { latencyMs: 1000 } } })
  return {
    url: server.provider('faulty').baseUrl,
    count: () => server.requests.length,
    connections: () => server.connections,
    /** Waits until who was connected has left. */
    closed: () => server.waitFor(() => server.connections === 0, { timeoutMs: TIMEOUT_MS }),
    close: () => server.close(),
  }
}
