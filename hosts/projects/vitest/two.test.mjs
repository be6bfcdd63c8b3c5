import { asks } from './asks.mjs'

asks('two')
