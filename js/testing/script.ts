/** Which plan the next request to a model gets. */

import { type Behaviour, type Plan, type Script, drawn, isPromise, planNamed, readBehaviour } from './behaviour'
import type { LoggedRequest } from './log'
import { Random } from './random'
import * as read from './read'

/** A script that was read. */
type Reading = Plan | Plan[] | ((request: LoggedRequest) => Behaviour | undefined | Promise<Behaviour | undefined>)

/** The name that stands for all models without a script of their own. */
const ANY = '*'

/**
 * The first of these that says something decides: an outage, the model's script, the model's name, the script of `'*'`, the
 * rest. Every model draws from a generator of its own, so that what the n-th request to it gets does not depend on the others.
 */
export class Scripts {
  readonly #seed: number
  readonly #rest: Plan
  readonly #scripts = new Map<string, Reading>()
  readonly #outages = new Map<string, Plan>()
  readonly #randoms = new Map<string, Random>()

  constructor(seed: number, rest: Plan, scripts: Readonly<Record<string, Script>>) {
    this.#seed = seed
    this.#rest = rest
    for (const [model, script] of Object.entries(scripts)) this.set(model, script)
  }

  /** The models that have a script. */
  get names(): string[] {
    return [...this.#scripts.keys()].filter((name) => name !== ANY)
  }

  /** Gives a model a script in the place of its last one; `undefined` takes it away. */
  set(model: string, script: Script | undefined): void {
    read.filled('script: model', model)
    if (script === undefined) this.#scripts.delete(model)
    else this.#scripts.set(model, readScript(`script of ${JSON.stringify(model)}`, script))
  }

  /** Begins an outage of these models, or of all. */
  fail(behaviour: Behaviour, models: readonly string[]): void {
    const plan = readBehaviour('outage', behaviour)
    for (const [place, model] of models.entries()) read.filled(`outage: models[${place}]`, model)
    for (const model of models.length === 0 ? [ANY] : models) this.#outages.set(model, plan)
  }

  /** Ends the outages of these models, or all there are. */
  recover(models: readonly string[]): void {
    if (models.length === 0) this.#outages.clear()
    for (const model of models) this.#outages.delete(model)
  }

  /** What all requests to a model get now, if it is out. */
  outage(model: string): Plan | undefined {
    return this.#outages.get(model) ?? this.#outages.get(ANY)
  }

  /** The plan of a request, with its chances drawn. A promise only if a script gives one. */
  next(request: LoggedRequest): Plan | Promise<Plan> {
    const { model } = request
    const other = (): Plan | Promise<Plan> => or(said(this.#scripts.get(ANY), request), () => this.#rest)
    const unscripted = (): Plan | Promise<Plan> => or(planNamed(model), other)
    const plan = or(this.outage(model), () => or(said(this.#scripts.get(model), request), unscripted))
    return isPromise(plan) ? plan.then((settled) => this.#drawn(model, settled)) : this.#drawn(model, plan)
  }

  #drawn(model: string, plan: Plan): Plan {
    if (plan.shares === undefined) return plan
    let random = this.#randoms.get(model)
    if (random === undefined) {
      random = new Random(this.#seed, model)
      this.#randoms.set(model, random)
    }
    return drawn(plan, random)
  }
}

/** The first of two that says something. */
function or(
  first: Plan | undefined | Promise<Plan | undefined>,
  second: () => Plan | Promise<Plan>,
): Plan | Promise<Plan> {
  return isPromise(first) ? first.then((plan) => plan ?? second()) : (first ?? second())
}

/** What a script says of a request; a list says each thing once. */
function said(reading: Reading | undefined, request: LoggedRequest): Plan | undefined | Promise<Plan | undefined> {
  if (Array.isArray(reading)) return reading.shift()
  if (typeof reading !== 'function') return reading
  const answer = reading(request)
  return isPromise(answer) ? answer.then(told) : told(answer)
}

function told(behaviour: Behaviour | undefined): Plan | undefined {
  return behaviour === undefined || behaviour === null ? undefined : readBehaviour('what the script says', behaviour)
}

function readScript(path: string, script: Script): Reading {
  if (typeof script === 'function') return script
  if (Array.isArray(script)) return script.map((behaviour, place) => readBehaviour(`${path}[${place}]`, behaviour))
  return readBehaviour(path, script)
}
