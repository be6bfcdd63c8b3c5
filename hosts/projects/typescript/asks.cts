import thryd = require('thryd')
import fetch = require('thryd/fetch')
import testing = require('thryd/testing')

import { claims } from './claims.cjs'

const router: thryd.CompletionRouter = new thryd.CompletionRouter({ providers: [{ type: 'dummy' }] })
router.deploy('default', 'dummy::echo')
const handler: (request: Request) => Promise<Response> = fetch.toFetch({ completion: router })
const options: testing.FaultServerOptions = { seed: 7 }
// @ts-expect-error: there is no such strategy.
const refused = (): unknown => router.configureGroup('default', { strategy: 'worst' })

void handler
void refused
void options
claims(thryd, fetch, testing)
