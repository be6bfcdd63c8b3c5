//! Deployments behind a strategy, in virtual time: the rules of a group without its network.
//!
//! A strict line; the first in the order of the strategy that is healthy and has room takes the head; it is in flight
//! until its answer ends, and only then is its latency known; a failure is tried on another one; whoever has stood in
//! the line for `queueMs` gives up. As in the group, those who may not use every deployment have a line of their own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use thryd::error::FailureClass;
use thryd::health::{Fault, Health, Hold, Latency, Pass, RestOptions};
use thryd::route::strategy::{Candidate, Strategy, StrategyState};
use thryd::tracker::{Limits, Permit, Tracker, Wait};
use tokio::time::Instant;

use crate::arrivals::{Arrivals, count, log_normal, number};

/// thryd's defaults.
const QUEUE: Duration = Duration::from_secs(60);
const REST: RestOptions = RestOptions { base: Duration::from_secs(5), cap: Duration::from_secs(30) };
const ATTEMPTS: usize = 3;

/// The part of a request's tokens that the answer is.
const ANSWER: f64 = 0.25;

/// How a deployment behaves.
#[derive(Clone, Copy)]
pub struct Profile {
    pub name: &'static str,
    pub limits: Limits,
    pub weight: f64,
    /// The median time to the first token, log-normal, and the time for each one, in milliseconds.
    pub first_ms: f64,
    pub token_ms: f64,
    pub joins: Duration,
    pub trouble: Trouble,
}

/// What share of the requests sent to it between two moments fail, and after how long.
#[derive(Clone, Copy)]
pub struct Trouble {
    pub share: f64,
    pub after: Duration,
    pub from: Duration,
    pub until: Duration,
}

impl Trouble {
    pub const NONE: Self = Self { share: 0.0, after: Duration::ZERO, from: Duration::ZERO, until: Duration::MAX };
}

/// Something that was sent to a deployment.
#[derive(Clone, Copy)]
pub struct Pick {
    pub at: Duration,
    /// On the deployment, itself included.
    pub in_flight: u64,
}

#[derive(Default)]
pub struct Outcome {
    pub asked: u64,
    /// Gave up in the line, and failed too often.
    pub refused: u64,
    pub failed: u64,
    /// For each request that was answered: the time in the line, and the whole.
    pub served: Vec<(Duration, Duration)>,
    /// By deployment.
    pub picks: Vec<Vec<Pick>>,
}

struct Deployment {
    profile: Profile,
    tracker: Tracker,
    health: Health,
    latency: Latency,
}

#[derive(Clone, Copy)]
struct Call {
    asked: Duration,
    /// Since when it stands in the line, and how long it stood there before.
    joined: Duration,
    waited: Duration,
    reserves: u64,
    costs: u64,
    attempts: usize,
    failed_by: Option<usize>,
}

struct Running {
    call: Call,
    deployment: usize,
    permit: Permit,
    pass: Pass,
    begun: Duration,
    /// `None` if it fails.
    first_token: Option<Duration>,
}

struct Simulation {
    zero: Instant,
    now: Duration,
    rng: Rng,
    strategy: Strategy,
    state: StrategyState,
    order: Vec<usize>,
    deployments: Vec<Deployment>,
    /// Who may use all, and by who failed them those who may use all others.
    lines: Vec<VecDeque<Call>>,
    running: BTreeMap<(Duration, u64), Running>,
    sent: u64,
    outcome: Outcome,
}

/// Lets requests come for `length`, so many a minute, and answers them. Latecomers stand last in `profiles`.
pub fn run(
    strategy: Strategy,
    profiles: &[Profile],
    per_minute: impl Fn(Duration) -> f64,
    length: Duration,
    seed: u64,
) -> Outcome {
    // On a clock that stands still, so that the buckets of all begin at the same moment.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without threads");
    let _clock = runtime.enter();
    let deployment = |(seed, profile): (u64, &Profile)| Deployment {
        profile: *profile,
        tracker: Tracker::new(profile.limits),
        health: Health::with_seed(seed),
        latency: Latency::new(),
    };
    let mut simulation = Simulation {
        zero: Instant::now(),
        now: Duration::ZERO,
        rng: Rng::with_seed(seed),
        strategy,
        state: StrategyState::with_seed(seed),
        order: Vec::new(),
        deployments: (0..).zip(profiles).map(deployment).collect(),
        lines: vec![VecDeque::new(); profiles.len() + 1],
        running: BTreeMap::new(),
        sent: 0,
        outcome: Outcome { picks: vec![Vec::new(); profiles.len()], ..Outcome::default() },
    };
    simulation.run(Arrivals::steady(seed), per_minute, length);
    simulation.outcome
}

impl Simulation {
    fn run(&mut self, mut arrivals: Arrivals, per_minute: impl Fn(Duration) -> f64, length: Duration) {
        let mut next = arrivals.next(&per_minute);
        let mut wake = Duration::MAX;
        loop {
            let end = self.running.first_key_value().map_or(Duration::MAX, |((at, _), _)| *at);
            let joins = self.deployments.iter().map(|one| one.profile.joins).filter(|at| *at > self.now).min();
            self.now = next.at.min(end).min(wake).min(joins.unwrap_or(Duration::MAX));
            if self.now >= length {
                return;
            }
            if joins == Some(self.now) {
                // As the group does when its deployments change.
                self.state = StrategyState::with_seed(self.sent);
            }
            while let Some(entry) = self.running.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let running = entry.remove();
                self.end(running);
            }
            if next.at <= self.now {
                let reserves = count(number(next.tokens) * (1.0 + 0.5 * self.rng.f64()));
                let (asked, costs) = (self.now, next.tokens);
                let call = Call {
                    asked,
                    joined: asked,
                    waited: Duration::ZERO,
                    reserves,
                    costs,
                    attempts: 0,
                    failed_by: None,
                };
                self.lines[0].push_back(call);
                self.outcome.asked += 1;
                next = arrivals.next(&per_minute);
            }
            wake = (0..self.lines.len()).map(|line| self.serve(line)).min().unwrap_or(Duration::MAX);
        }
    }

    /// Sends the head of a line as long as there is room; when to look again.
    fn serve(&mut self, line: usize) -> Duration {
        while let Some(call) = self.lines[line].front().copied() {
            if self.now >= call.joined + QUEUE {
                self.outcome.refused += 1;
            } else if let Err(wait) = self.send(call) {
                let room = match wait {
                    Wait::Until(at) | Wait::ReleaseOr(at) => at - self.zero,
                    Wait::Release | Wait::Asked | Wait::Never => Duration::MAX,
                };
                return room.min(call.joined + QUEUE);
            }
            self.lines[line].pop_front();
        }
        Duration::MAX
    }

    fn send(&mut self, mut call: Call) -> Result<(), Wait> {
        let now = self.zero + self.now;
        let here = |one: &&Deployment| one.profile.joins <= self.now;
        let candidates: Vec<_> = self.deployments.iter().take_while(here).map(|one| one.candidate(now)).collect();
        self.strategy.order(&candidates, &mut self.state, &mut self.order);
        let mut wait = Wait::Never;
        for &index in &self.order {
            let deployment = &self.deployments[index];
            if call.failed_by == Some(index) {
                continue;
            }
            match deployment.admit(call.reserves, now) {
                Ok((mut permit, pass)) => {
                    self.state.picked(index);
                    permit.sent();
                    call.waited += self.now - call.joined;
                    let in_flight = deployment.tracker.in_flight();
                    self.outcome.picks[index].push(Pick { at: self.now, in_flight });
                    let (took, first_token) = deployment.profile.answer(call.costs, self.now, &mut self.rng);
                    let running = Running { call, deployment: index, permit, pass, begun: self.now, first_token };
                    self.running.insert((self.now + took, self.sent), running);
                    self.sent += 1;
                    return Ok(());
                }
                Err(refused) => wait = sooner(wait, refused),
            }
        }
        Err(wait)
    }

    fn end(&mut self, running: Running) {
        let Running { mut call, deployment: index, permit, pass, begun, first_token } = running;
        let (deployment, now) = (&self.deployments[index], self.zero + self.now);
        if let Some(first_token) = first_token {
            deployment.health.succeed(&pass, now);
            deployment.latency.record(self.now - begun, first_token, now);
            permit.settle(call.costs);
            self.outcome.served.push((call.waited, self.now - call.asked));
            return;
        }
        let fault = Fault { class: FailureClass::Silent, retry_after: None, took: self.now - begun };
        deployment.health.fail(&pass, &fault, now, &REST);
        deployment.latency.penalise(now);
        // It may have cost what was reserved.
        drop(permit);
        call.attempts += 1;
        if call.attempts == ATTEMPTS {
            self.outcome.failed += 1;
            return;
        }
        (call.joined, call.failed_by) = (self.now, Some(index));
        self.lines[index + 1].push_back(call);
    }
}

impl Deployment {
    fn candidate(&self, now: Instant) -> Candidate {
        let (requests_left, tokens_left) = self.tracker.shares_left(now);
        Candidate {
            in_flight: self.tracker.in_flight(),
            max_concurrent: self.profile.limits.max_concurrent,
            requests_left,
            tokens_left,
            weight: self.profile.weight,
            latency_ms: self.latency.peak_ewma_ms(now),
        }
    }

    fn admit(&self, tokens: u64, now: Instant) -> Result<(Permit, Pass), Wait> {
        let pass = self.health.admit(now).map_err(|hold| match hold {
            Hold::Rest(until) => Wait::Until(until),
            Hold::Full(until) => Wait::ReleaseOr(until),
        })?;
        Ok((self.tracker.try_acquire(tokens, now)?, pass))
    }
}

impl Profile {
    /// How long a request takes, and its time to the first token unless it fails.
    fn answer(&self, tokens: u64, now: Duration, rng: &mut Rng) -> (Duration, Option<Duration>) {
        let trouble = self.trouble;
        // Drawn in any case, so that trouble of one changes nothing for the others.
        let (luck, first_ms) = (rng.f64(), log_normal(rng, self.first_ms, 0.4));
        if luck < trouble.share && (trouble.from..trouble.until).contains(&now) {
            return (trouble.after, None);
        }
        let ms = |ms: f64| Duration::from_secs_f64(ms / 1000.0);
        (ms(first_ms + number(tokens) * ANSWER * self.token_ms), Some(ms(first_ms)))
    }
}

/// As in the group: a release wakes by itself.
fn sooner(left: Wait, right: Wait) -> Wait {
    match (left, right) {
        (Wait::Until(left) | Wait::ReleaseOr(left), Wait::Until(right) | Wait::ReleaseOr(right)) => {
            Wait::ReleaseOr(left.min(right))
        }
        (Wait::Until(at) | Wait::ReleaseOr(at), _) | (_, Wait::Until(at) | Wait::ReleaseOr(at)) => Wait::ReleaseOr(at),
        (Wait::Release | Wait::Asked, _) | (_, Wait::Release | Wait::Asked) => Wait::Release,
        (Wait::Never, Wait::Never) => Wait::Never,
    }
}
