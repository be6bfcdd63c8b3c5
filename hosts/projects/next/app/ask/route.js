import { name, router } from '../router'

export const dynamic = 'force-dynamic'

export async function GET(request) {
  const { message, group } = Object.fromEntries(new URL(request.url).searchParams)
  const { content, cache } = await router.invoke(group, { message }, { signal: request.signal })
  return Response.json({ name, content, cache })
}
