import { asks } from './asks.mjs'

asks('three')
