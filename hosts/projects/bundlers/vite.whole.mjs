import { defineConfig } from 'vite'

export default defineConfig({ build: { ssr: 'asks.mjs', outDir: 'out/vite-whole' }, ssr: { noExternal: true } })
