import { CompletionRouter } from 'thryd'
for (const [faults, stream] of [[undefined,false],[undefined,true],[{ status: { 500: 0.02 }},false],[{ cut: 0.02},false],[{ cut: 0.02},true],[{malformed: 0.02},false]]) {
  const router = new CompletionRouter({ providers: [{ type: 'dummy', dummy: { faults } }], retry: { maxRetries: 0, cooldownMs: 1 } })
  for (const m of ['a','b']) router.deploy('default', 'dummy::' + m)
  const t = performance.now()
  let failed = 0
  const one = async (i) => { try { if (!stream) await router.invoke('default', { message: `question ${i} of many` }); else for await (const c of router.stream('default', { message: `question ${i} of many` })) void c } catch { failed++ } }
  for (let d = 0; d < 4000; d += 500) await Promise.all(Array.from({ length: 500 }, (_, i) => one(d + i)))
  console.log(JSON.stringify(faults), stream, failed, Math.round(performance.now() - t), 'ms')
}
