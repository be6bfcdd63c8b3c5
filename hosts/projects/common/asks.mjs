import { Cache, CompletionRouter, EmbeddingRouter, ProviderError, RerankRouter, countTokens } from 'thryd'
import { toFetch } from 'thryd/fetch'
import { FaultServer } from 'thryd/testing'

import { claims } from './claims.cjs'

const thryd = { Cache, CompletionRouter, EmbeddingRouter, ProviderError, RerankRouter, countTokens }
// Not awaited, which a bundle as CommonJS cannot be.
claims(thryd, { toFetch }, { FaultServer })
