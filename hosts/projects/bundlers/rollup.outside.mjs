import commonjs from '@rollup/plugin-commonjs'

export default {
  input: 'asks.mjs',
  external: [/^thryd/, /^node:/],
  plugins: [commonjs()],
  output: { file: 'out/rollup-outside.mjs' },
}
