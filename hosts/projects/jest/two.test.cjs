'use strict'

require('./asks.cjs').asks('two')
