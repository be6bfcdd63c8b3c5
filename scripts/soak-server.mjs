// The provider that `soak.mjs` talks to, in a process of its own so that its memory is not measured.
import { FaultServer } from 'thryd/testing'

/** Share of requests with a fault, of whichever sort. */
const FAULTS = Number(process.argv[2])
/** How often each comes among a hundred faults; those that a clock has to end are fewer. */
const statuses = { 429: 10, 500: 10, 503: 10 }
const others = {
  reset: 10,
  close: 10,
  hang: 4,
  stall: 4,
  cut: 9,
  end: 7,
  malformed: 7,
  errorEvent: 7,
  html: 3,
  empty: 3,
  stallError: 2,
  cutAfterFinish: 2,
  stallAfterFinish: 2,
}
const shares = (of) => Object.fromEntries(Object.entries(of).map(([name, count]) => [name, (FAULTS * count) / 100]))
const faults = { status: shares(statuses), ...shares(others) }

// One of the models speaks slowly, so that streams are left in their middle.
const models = { d: { faults, tokenIntervalMs: [0, 2] } }
const server = await FaultServer.start({ seed: 11, faults, models, latencyMs: [0, 8], logLimit: 0 })
process.on('message', () => process.send(server.counts))
process.on('disconnect', () => process.exit())
process.send({ url: server.url })
