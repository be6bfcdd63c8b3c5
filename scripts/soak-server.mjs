// The provider that `soak.mjs` talks to, in a process of its own so that its memory is not measured.
import { FaultServer } from 'thryd/testing'

// Together 5 %.
const faults = {
  status: { 429: 0.005, 500: 0.005, 503: 0.005 },
  reset: 0.005,
  close: 0.005,
  hang: 0.002,
  stall: 0.002,
  cut: 0.005,
  end: 0.004,
  malformed: 0.004,
  errorEvent: 0.004,
  html: 0.002,
  empty: 0.002,
}

// One of the models speaks slowly, so that streams are left in their middle.
const models = { d: { faults, tokenIntervalMs: [0, 2] } }
const server = await FaultServer.start({ seed: 11, faults, models, latencyMs: [0, 8], logLimit: 0 })
process.on('message', () => process.send(server.counts))
process.on('disconnect', () => process.exit())
process.send({ url: server.url })
