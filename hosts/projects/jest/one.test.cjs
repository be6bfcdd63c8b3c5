'use strict'

require('./asks.cjs').asks('one')
