// `node webpack.mjs <outside|whole>`
import { join } from 'node:path'

import webpack from 'webpack'

const [, , way] = process.argv
const options = {
  mode: 'production',
  target: 'node',
  entry: './asks.mjs',
  externals: way === 'outside' ? [/^thryd/] : [],
  externalsType: 'commonjs',
  output: { path: join(import.meta.dirname, 'out'), filename: `webpack-${way}.cjs` },
}
webpack(options, (error, stats) => {
  if (error) throw error
  if (stats.hasErrors() || stats.hasWarnings()) {
    console.log(stats.toString({ all: false, errors: true, warnings: true }))
    process.exitCode = 1
  }
})
