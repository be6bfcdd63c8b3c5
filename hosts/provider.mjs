// A provider for hosts whose code cannot start one: the server of thryd/testing, as it was compiled here.
import { FaultServer } from '../dist/testing/index.js'

const TIMEOUT_MS = 10_000

export async function startProvider() {
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
