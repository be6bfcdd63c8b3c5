import commonjs from '@rollup/plugin-commonjs'
import resolve from '@rollup/plugin-node-resolve'

export default {
  input: 'asks.mjs',
  external: [/^node:/],
  plugins: [resolve({ preferBuiltins: true }), commonjs()],
  output: { file: 'out/rollup-whole.mjs', inlineDynamicImports: true },
}
