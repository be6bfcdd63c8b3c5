//! A named set of interchangeable deployments: who may be asked now, and when somebody could be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::keys::Keys;
use super::line::Line;
use super::pick::{Choice, Picked, pick_one, sooner};
use crate::constants::BUCKET_WIDTH;
use crate::deployment::Deployment;
use crate::error::{Error, ErrorKind, FailureClass};
use crate::health::Hold;
use crate::options::GroupOptions;
use crate::tracker::{Ahead, Tracker, Turn, Wait, fits_within, wait_alone, wait_behind, wait_in_order};

/// Admissions that are rehearsed for one exact answer, at most: some 0.25 ms. Beyond it, sums have to do.
const REHEARSED: usize = 5_000;

/// A group. Calls that wait in its line keep it alive after `removeGroup`.
#[derive(Debug)]
pub(crate) struct Group {
    pub name: String,
    /// The line of those who may use every deployment: nearly everyone.
    line: Arc<Line>,
    /// The lines of those who may not, by the deployments that they may use, so that nobody waits behind someone who
    /// waits for something else. Gone when nobody stands in them.
    side_lines: Mutex<HashMap<Vec<usize>, Weak<Line>>>,
    options: RwLock<GroupOptions>,
    deployments: RwLock<Arc<[Arc<Deployment>]>>,
    choice: Mutex<Choice>,
    /// Makes the keys of its requests.
    pub keys: Keys,
    /// Told when a deployment has answered, or rests from now on.
    pub settled: Notify,
    /// Told when a deployment asks to be left alone for longer than any call waits.
    pub told: Notify,
}

/// What a request needs of a deployment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    /// Prompt tokens; 0 where nobody limits them.
    pub prompt: u64,
    /// The most that the answer may be, if the caller says.
    pub completion: Option<u64>,
    /// Whether its tokens were counted at all.
    pub is_counted: bool,
    /// Where they were not: the most that prompt and answer can take together, if that is known.
    pub bound: u64,
}

impl Demand {
    /// That of a request whose tokens nobody limits.
    pub const UNCOUNTED: Self = Self { prompt: 0, completion: Some(0), is_counted: false, bound: u64::MAX };

    /// Whether its tokens have to be counted before this deployment can be asked.
    pub fn must_be_counted_for(&self, deployment: &Deployment, now: Instant) -> bool {
        !self.is_counted && deployment.counts_tokens(self.bound, now)
    }
}

impl Group {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            line: Arc::default(),
            side_lines: Mutex::default(),
            options: RwLock::default(),
            deployments: RwLock::new(Arc::new([])),
            choice: Mutex::default(),
            keys: Keys::default(),
            settled: Notify::new(),
            told: Notify::new(),
        }
    }

    pub fn deployments(&self) -> Arc<[Arc<Deployment>]> {
        Arc::clone(&self.deployments.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The line for a request that may use these deployments of the group.
    pub fn line_of(&self, able: &[Arc<Deployment>]) -> Arc<Line> {
        if able.len() == self.deployments().len() {
            return Arc::clone(&self.line);
        }
        let key: Vec<usize> = able.iter().map(|deployment| Arc::as_ptr(deployment) as usize).collect();
        let mut lines = self.side_lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&key).and_then(Weak::upgrade) {
            return line;
        }
        lines.retain(|_, line| line.strong_count() > 0);
        let line = Arc::default();
        lines.insert(key, Arc::downgrade(&line));
        line
    }

    /// Something changed: whoever is first in a line looks again.
    pub fn wake(&self) {
        // Without the lock of the side lines, because whom a bell wakes may come here.
        for line in self.lines() {
            line.wake();
        }
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.lines().iter().map(|line| line.waiting()).sum()
    }

    fn lines(&self) -> Vec<Arc<Line>> {
        let side = self.side_lines.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::once(Arc::clone(&self.line)).chain(side.values().filter_map(Weak::upgrade)).collect()
    }

    /// Changes the set of deployments; whoever waits looks again.
    pub fn set_deployments(&self, deployments: Vec<Arc<Deployment>>) {
        // Places mean other deployments from now on.
        *self.choice.lock().unwrap_or_else(PoisonError::into_inner) = Choice::default();
        *self.deployments.write().unwrap_or_else(PoisonError::into_inner) = deployments.into();
        self.keys.forget();
        self.wake();
    }

    pub fn options(&self) -> GroupOptions {
        self.options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_options(&self, options: GroupOptions) {
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = options;
        self.wake();
    }

    /// Whether anybody here has to know the tokens of a request that takes at most so many before it is sent: whose model.
    pub fn counts_tokens(&self, bound: u64, now: Instant) -> Option<String> {
        let deployments = self.deployments();
        Some(deployments.iter().find(|one| one.counts_tokens(bound, now))?.model.clone())
    }

    /// The deployments that could serve this demand at all, leaving out those in `excluded`. Nearly always all of them, which are
    /// not copied.
    pub fn able(&self, demand: &Demand, excluded: &[Arc<Deployment>]) -> Arc<[Arc<Deployment>]> {
        let deployments = self.deployments();
        let is_able = |one: &&Arc<Deployment>| one.can_serve(demand, excluded);
        if deployments.iter().all(|one| is_able(&one)) {
            return deployments;
        }
        deployments.iter().filter(is_able).cloned().collect()
    }

    /// Picks a deployment that is able and not in `excluded`, and reserves what the demand needs, all or nothing. Those in
    /// `put_off` come last, so that they are only asked when nobody else could be now.
    ///
    /// # Errors
    /// When it is worth asking again.
    pub fn pick(
        &self,
        demand: &Demand,
        excluded: &[Arc<Deployment>],
        put_off: &[Arc<Deployment>],
        now: Instant,
        turn: &mut Turn,
    ) -> Result<Picked, Wait> {
        let deployments = self.deployments();
        let is_able = |deployment: &Arc<Deployment>| deployment.can_serve(demand, excluded);
        let is_alone = self.is_lone(demand);
        let strategy = self.options.read().unwrap_or_else(PoisonError::into_inner).strategy;
        // A std mutex: nothing is awaited while it is held.
        let mut choice = self.choice.lock().unwrap_or_else(PoisonError::into_inner);
        choice.begin(strategy, &deployments, now);
        // Whoever was asked in the round before has its answer for this request.
        let asked = turn.take_asked();
        let asked = asked.and_then(|asked| deployments.iter().position(|one| one.tracker.is_same(&asked)));
        if let Some(index) = asked.filter(|index| is_able(&deployments[*index])) {
            match pick_one(&deployments[index], demand, is_alone, now, turn) {
                Ok(picked) => {
                    choice.picked(index);
                    return Ok(picked);
                }
                Err(Wait::Asked) => return Err(Wait::Asked),
                Err(_) => {}
            }
        }
        let mut wait = Wait::Never;
        let mut last = Vec::new();
        loop {
            let (index, is_last) = match choice.next(strategy) {
                Some(index) => (index, false),
                None if last.is_empty() => {
                    turn.is_refused();
                    return Err(wait);
                }
                None => (last.remove(0), true),
            };
            // Strategies know deployments by their places, so those that cannot be asked keep theirs and are passed over.
            let Some(deployment) = deployments.get(index).filter(|one| is_able(one)) else { continue };
            if !is_last && contains(put_off, deployment) {
                last.push(index);
                continue;
            }
            match pick_one(deployment, demand, is_alone, now, turn) {
                Ok(picked) => {
                    choice.picked(index);
                    return Ok(picked);
                }
                // One at a time, so that no more is granted than is used.
                Err(Wait::Asked) if turn.is_asked_anew(&deployment.tracker) => return Err(Wait::Asked),
                Err(Wait::Asked) => wait = sooner(wait, Wait::ReleaseOr(now + Duration::from_millis(1))),
                Err(refused) => wait = sooner(wait, refused),
            }
        }
    }

    /// Whether no more than one deployment could ever serve this demand, whomever a call leaves out.
    pub fn is_lone(&self, demand: &Demand) -> bool {
        self.deployments().iter().filter(|one| one.can_serve(demand, &[])).take(2).count() < 2
    }

    /// Whether it stands here.
    pub fn has(&self, deployment: &Deployment) -> bool {
        contains(&self.deployments(), deployment)
    }

    /// How many other deployments than this one could be asked at once.
    pub fn healthy_others(
        &self,
        demand: &Demand,
        excluded: &[Arc<Deployment>],
        than: &Arc<Deployment>,
        now: Instant,
    ) -> usize {
        let able = self.able(demand, excluded);
        able.iter().filter(|other| !Arc::ptr_eq(other, than) && !other.health.is_out(now)).count()
    }

    /// For how long nobody is asked who could be, at rest or ramping up; `None` if somebody may be asked, now or when there
    /// is room.
    pub fn all_rest(&self, demand: &Demand, excluded: &[Arc<Deployment>], now: Instant) -> Option<Duration> {
        let able = self.able(demand, excluded);
        let is_alone = self.is_lone(demand);
        let holds = able.iter().map(|one| Some(one.hold(is_alone, now)?.until()));
        Some(holds.collect::<Option<Vec<_>>>()?.into_iter().min()?.saturating_duration_since(now))
    }

    /// For how long these, which all rest, asked to be left alone, if that is longer than any call waits for. Those with a
    /// dead key are nobody to wait for either.
    pub fn all_left_alone(able: &[Arc<Deployment>], now: Instant) -> Option<Duration> {
        let alive = able.iter().filter(|one| !one.is_dead(now));
        let moments = alive.map(|one| one.health.left_alone(now));
        Some(moments.collect::<Option<Vec<_>>>()?.into_iter().min()? - now)
    }

    /// Waits until all of these ask to be left alone for longer than any call waits; for how long.
    pub async fn until_left_alone(&self, able: &[Arc<Deployment>]) -> Duration {
        loop {
            let told = self.told.notified();
            if let Some(left) = Self::all_left_alone(able, Instant::now()) {
                return left;
            }
            told.await;
        }
    }

    /// How long it is until the first of those that rest is worth asking, of those whose keys are alive if there are any; `None`
    /// if nobody rests.
    pub fn first_back(&self, now: Instant) -> Option<Duration> {
        let deployments = self.deployments();
        let back = |one: &Arc<Deployment>| {
            let until = one.health.left_alone(now).or_else(|| Some(one.health.hold(now, 0)?.until()))?;
            Some((one.is_dead(now), until))
        };
        let (_, first) = deployments.iter().filter_map(back).min()?;
        Some(first.saturating_duration_since(now))
    }

    /// The error for a request that can never fit.
    pub fn too_large(&self, demand: &Demand) -> Error {
        let deployments = self.deployments();
        let tokens = demand.prompt.saturating_add(demand.completion.unwrap_or(0));
        let tpm = |one: &Arc<Deployment>| {
            let below = one.tracker.below().and_then(|below| below.limits().tpm);
            one.tracker.limits().tpm.into_iter().chain(below).min()
        };
        let window = deployments.iter().map(|one| one.context_window()).filter(|window| *window < u64::MAX).max();
        let (field, limit) = match window {
            Some(window) if tokens > window => ("contextWindow", window),
            _ => ("tpm", deployments.iter().filter_map(tpm).max().unwrap_or(0)),
        };
        ErrorKind::TooLarge { tokens, limit, field }.into()
    }

    /// What put a deployment to rest, if one rests or has just come back: the first that is asked again.
    pub fn resting(&self, now: Instant) -> Option<String> {
        let deployments = self.deployments();
        let resting = deployments.iter().filter_map(|one| Some((one.health.hold(now, 0)?.until(), one)));
        let (_, first) = resting.min_by_key(|(until, _)| *until)?;
        Some(format!("{}: {}", first.name, first.snapshot().rest_error?))
    }

    /// How long a request waits in this line that has this much in front of it; `None` is for ever. With a patience, any
    /// number up to it will do for a wait that is no longer.
    pub fn wait(
        &self,
        behind: Behind<'_>,
        demand: &Demand,
        excluded: &[Arc<Deployment>],
        now: Instant,
    ) -> Option<Duration> {
        let Behind { line, priority, ahead, patience } = behind;
        let able = self.able(demand, excluded);
        let tokens = able.iter().map(|one| one.reservation(demand.prompt, demand.completion, now)).min()?;
        let is_asking = patience.is_none_or(|patience| patience.is_zero());
        let is_alone = self.is_lone(demand);
        let rest = |one: &Arc<Deployment>| match one.hold_behind(ahead.requests, is_alone, now) {
            // When those that are on trial have answered nobody knows; so it is a guess for who asks, and refuses nobody.
            Some(Hold::Full(_)) if !is_asking => Duration::ZERO,
            hold => hold.map_or(Duration::ZERO, |hold| hold.until().saturating_duration_since(now)),
        };
        let wait = if ahead.requests == 0 {
            let alone = |one: &Arc<Deployment>| Some(wait_alone(&one.tracker, tokens, now)?.max(rest(one)));
            able.iter().filter_map(alone).min()?
        } else {
            let is_mixed = ahead.smallest.is_some_and(|smallest| smallest.min(tokens) != ahead.largest.max(tokens));
            let mut rests: Vec<_> = able.iter().map(rest).collect();
            rests.sort_unstable();
            rests.dedup();
            let mut soonest = None;
            // Those who are awake may be full for longer than others rest: whoever is back by then helps.
            for least in rests {
                let trackers = able.iter().filter(|one| rest(one) <= least).map(|one| &one.tracker);
                let is_short = |patience| fits_within(trackers.clone(), ahead, tokens, now, patience) == Some(true);
                if patience.is_some_and(|patience| least <= patience && is_short(patience)) {
                    return Some(least);
                }
                let is_simple = !is_mixed && trackers.clone().all(Tracker::is_plain);
                let sizes = if is_simple { None } else { line.sizes_ahead(priority, REHEARSED / able.len()) };
                let room = match sizes {
                    Some(sizes) => wait_in_order(trackers, &sizes, tokens, now),
                    None => wait_behind(trackers, ahead, tokens, now),
                };
                soonest = room.map(|room| room.max(least)).into_iter().chain(soonest).min();
            }
            soonest?
        };
        // Nobody can say when a slot is free or whoever goes first has gone; but it is not now.
        if is_asking && wait.is_zero() && !able.iter().any(|one| one.tracker.is_open()) {
            return Some(BUCKET_WIDTH);
        }
        Some(wait)
    }
}

/// Whom a request waits behind.
#[derive(Clone, Copy)]
pub(crate) struct Behind<'a> {
    pub line: &'a Line,
    pub priority: i64,
    pub ahead: Ahead,
    /// Longer than this nobody waits.
    pub patience: Option<Duration>,
}

fn contains(deployments: &[Arc<Deployment>], one: &Deployment) -> bool {
    deployments.iter().any(|other| std::ptr::eq(Arc::as_ptr(other), one))
}

impl Deployment {
    /// Whether it could serve this demand at all.
    fn can_serve(&self, demand: &Demand, excluded: &[Arc<Self>]) -> bool {
        self.is_able()
            && demand.prompt.saturating_add(demand.completion.unwrap_or(0)) <= self.context_window()
            && !contains(excluded, self)
    }

    /// Why it is not asked now. A deployment without peers is not taken away from its users for a dead key or an empty
    /// account: the error itself is of more use to them than a wait.
    pub(super) fn hold(&self, is_alone: bool, now: Instant) -> Option<Hold> {
        self.hold_behind(0, is_alone, now)
    }

    /// The same for a request that has this many in front of it.
    fn hold_behind(&self, ahead: u64, is_alone: bool, now: Instant) -> Option<Hold> {
        let hold = self.health.hold(now, ahead)?;
        (!(is_alone && self.has_dead_account())).then_some(hold)
    }

    fn has_dead_account(&self) -> bool {
        matches!(self.health.last_class(), Some(FailureClass::Auth | FailureClass::Quota))
    }

    /// Whether it rests for a dead key or an empty account: there is no point in waiting for it.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        self.has_dead_account() && self.health.hold(now, 0).is_some()
    }
}
