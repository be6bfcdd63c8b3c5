import { CompletionRouter } from 'thryd'

// As an application has it: made as the module is loaded, also while Next.js builds, and used by every route.
export const name = 'first'

const { BASE_URL: baseUrl, CACHE: path } = process.env
const provider = { type: 'openai-compatible', name: 'faulty', baseUrl, apiKey: 'none' }
export const router = new CompletionRouter({ providers: baseUrl ? [provider] : [], cache: path ? { path } : {} })
if (baseUrl) router.deploy('default', 'faulty::ok').deploy('slow', 'faulty::slow')
