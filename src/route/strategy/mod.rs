//! In which order the deployments of a group are asked. Pure: strategies see numbers, not deployments.
//!
//! A strategy names one candidate after the other; the group takes the first that admits the request and tells the state
//! which it was with [`StrategyState::picked`]. So what was full or resting costs nobody a turn.

mod least_loaded;
mod lowest_latency;
mod round_robin;
mod weighted;

/// Which deployment of a group is asked first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The first one that has room, in the order of deployment.
    FirstAvailable,
    /// In turn.
    RoundRobin,
    /// The one with the fewest requests in flight for the share of its limits that is left.
    #[default]
    LeastLoaded,
    /// In proportion to the weights, exactly.
    Weighted,
    /// The faster of two drawn at random, by time to the first token and requests in flight.
    LowestLatency,
}

impl Strategy {
    /// Its names in options.
    pub const WORDS: &[(&str, Self)] = &[
        ("first-available", Self::FirstAvailable),
        ("round-robin", Self::RoundRobin),
        ("least-loaded", Self::LeastLoaded),
        ("weighted", Self::Weighted),
        ("lowest-latency", Self::LowestLatency),
    ];

    /// Begins a round of asking: puts the indices of all candidates into `left`, for [`Strategy::next`] to take from.
    ///
    /// The candidates of a group keep their indices from call to call, those that cannot be asked now included (they
    /// are skipped when their turn comes). When one comes or goes, the state begins anew.
    pub fn begin(self, candidates: &[Candidate], state: &mut StrategyState, left: &mut Vec<usize>) {
        state.fit(candidates.len());
        if matches!(self, Self::Weighted | Self::LowestLatency) {
            state.weights.extend(candidates.iter().map(weighted::units));
        }
        left.clear();
        left.extend(0..candidates.len());
        match self {
            Self::RoundRobin => round_robin::begin(state, left),
            Self::LeastLoaded => least_loaded::begin(candidates, state, left),
            Self::LowestLatency => lowest_latency::begin(candidates, state),
            Self::FirstAvailable | Self::Weighted => {}
        }
    }

    /// Takes the one that is to be asked next out of `left`; `None` when all were asked. One step over the candidates, so
    /// that finding the first one of many costs no sorting.
    pub fn next(self, candidates: &[Candidate], state: &mut StrategyState, left: &mut Vec<usize>) -> Option<usize> {
        if left.is_empty() {
            return None;
        }
        let place = match self {
            Self::FirstAvailable | Self::RoundRobin => 0,
            Self::LeastLoaded => least_loaded::next(candidates, state, left),
            Self::Weighted => weighted::next(state, left),
            Self::LowestLatency => lowest_latency::next(state, left),
        };
        // In place, because equals are taken in the order in which they are.
        Some(left.remove(place.min(left.len() - 1)))
    }

    /// Puts the indices of the candidates into `out` in the order in which they are to be asked: each once.
    pub fn order(self, candidates: &[Candidate], state: &mut StrategyState, out: &mut Vec<usize>) {
        let mut left = Vec::new();
        self.begin(candidates, state, &mut left);
        out.clear();
        while let Some(index) = self.next(candidates, state, &mut left) {
            out.push(index);
        }
    }
}

/// What a strategy knows of a deployment. Numbers that make no sense (`NaN`, negative) count as the worst there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Requests in flight on it, streams until they end.
    pub in_flight: u64,
    /// How many may be; `None` is unlimited.
    pub max_concurrent: Option<u64>,
    /// Share of its requests per minute that is left, from 0 to 1; 1 if unlimited.
    pub requests_left: f64,
    /// Share of its tokens per minute that is left, from 0 to 1; 1 if unlimited.
    pub tokens_left: f64,
    /// Its weight, >= 0. With 0 it takes no share, and is asked when nothing else is left.
    pub weight: f64,
    /// Peak EWMA of the time to its first token, in milliseconds; `None` if it has never answered, and so is `NaN`.
    pub latency_ms: Option<f64>,
}

impl Default for Candidate {
    fn default() -> Self {
        Self { in_flight: 0, max_concurrent: None, requests_left: 1.0, tokens_left: 1.0, weight: 1.0, latency_ms: None }
    }
}

/// What a strategy remembers between two picks.
#[derive(Clone, Debug, Default)]
pub struct StrategyState {
    rng: fastrand::Rng,
    /// The candidate whose turn it is, or that is preferred among equals.
    turn: usize,
    /// Weights of the candidates of the last round, in millionths, for the strategies that look at them.
    weights: Vec<i64>,
    /// What each weight is owed; see [`weighted`].
    owed: Vec<i64>,
    /// What was known of each at the last order; see [`lowest_latency`].
    seen: Vec<lowest_latency::Seen>,
    /// What each candidate of the last round costs.
    costs: Vec<f64>,
}

impl StrategyState {
    /// A state whose random draws are repeatable.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), ..Self::default() }
    }

    /// This candidate of the last [`Strategy::order`] was used. Turns advance by what was used, not by what was asked.
    pub fn picked(&mut self, index: usize) {
        self.turn = index.saturating_add(1);
        weighted::picked(self, index);
        if let Some(seen) = self.seen.get_mut(index) {
            seen.sent();
        }
    }

    /// Keeps up with the number of candidates.
    fn fit(&mut self, count: usize) {
        self.weights.clear();
        if self.owed.len() != count {
            self.owed.clear();
            self.owed.resize(count, 0);
            self.seen.clear();
            self.seen.resize(count, lowest_latency::Seen::default());
        }
        if self.turn >= count {
            self.turn = 0;
        }
    }
}

/// A share from 0 to 1.
fn share(left: f64) -> f64 {
    // NaN and minus zero are none as well.
    if left > 0.0 { left.min(1.0) } else { 0.0 }
}

/// A count as a number.
#[allow(clippy::cast_precision_loss, reason = "requests in flight are far fewer than 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}
