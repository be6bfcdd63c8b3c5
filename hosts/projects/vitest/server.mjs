// The provider of all files; it says at the end how often it was asked.
import { FaultServer } from 'thryd/testing'

export default async function setup({ provide }) {
  const server = await FaultServer.start()
  provide('provider', server.provider('faulty'))
  return async () => {
    console.log(`asked: ${server.requests.length}`)
    await server.close()
  }
}
