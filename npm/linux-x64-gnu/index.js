'use strict'

// As requiring the file would, which bundlers read as JavaScript; file tracers know what is joined to the folder.
const { join, toNamespacedPath } = require('node:path')

const file = join(__dirname, 'thryd.linux-x64-gnu.node')
process.dlopen(module, toNamespacedPath(file))
