'use strict'

const { app } = require('electron')

const { claims } = require('./claims.cjs')

app
  .whenReady()
  .then(() => claims(require('thryd'), require('thryd/fetch'), require('thryd/testing')))
  .then(
    () => app.quit(),
    (error) => {
      console.error(error)
      app.exit(1)
    },
  )
