import { asks } from './asks.mjs'

asks('one')
