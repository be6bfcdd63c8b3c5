/** @type {import('next').NextConfig} */
export default {
  output: 'standalone',
  ...(process.env.EXTERNAL && { serverExternalPackages: ['thryd'] }),
  turbopack: { root: import.meta.dirname },
  outputFileTracingRoot: import.meta.dirname,
}
