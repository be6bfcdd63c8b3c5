'use strict'

const { claims } = require('./claims.cjs')

claims(require('thryd'), require('thryd/fetch'), require('thryd/testing'))
