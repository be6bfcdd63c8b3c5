import { toFetch } from 'thryd/fetch'

import { router } from '../../../router'

export const dynamic = 'force-dynamic'

export const POST = toFetch({ completion: router })
