//! Power of two choices (Mitzenmacher 2001; Finagle's and tower's `PeakEwma` balancers): of two drawn at random, the one
//! of lower cost `latency * (in_flight + 1) / weight` goes first. Two rather than all, so that callers who see the same
//! numbers do not all run to the same deployment.
//!
//! One that has never answered counts as the average of those that have: it is tried, and as its requests in flight
//! raise its cost at once, it is not flooded before it has shown what it can do.
//!
//! An estimate fades while no answer comes, so that one that was slow is tried again. That is for those that are not
//! asked: while requests wait for an answer and none comes, silence is no good news, and the estimate counts as it was
//! at the last answer. Otherwise one that hangs would look better and better, and draw in ever more.

use super::{Candidate, StrategyState, number};

/// A deployment at the last order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// What counts as its latency; `None` if it has never answered.
    latency_ms: Option<f64>,
    in_flight: u64,
}

impl Seen {
    /// A request is sent to it.
    pub(super) fn sent(&mut self) {
        self.in_flight = self.in_flight.saturating_add(1);
    }

    fn update(&mut self, candidate: &Candidate) {
        let latency_ms = candidate.latency_ms.filter(|latency| latency.is_finite() && *latency >= 0.0);
        let has_news = candidate.in_flight == 0 || candidate.in_flight < self.in_flight;
        if has_news || latency_ms > self.latency_ms {
            self.latency_ms = latency_ms;
        }
        self.in_flight = candidate.in_flight;
    }
}

/// Computes every cost once.
pub(super) fn begin(candidates: &[Candidate], state: &mut StrategyState) {
    let StrategyState { costs, seen, .. } = state;
    for (seen, candidate) in seen.iter_mut().zip(candidates) {
        seen.update(candidate);
    }
    let latencies = seen.iter().filter_map(|seen| seen.latency_ms);
    let (sum, count) = latencies.fold((0.0, 0.0_f64), |(sum, count), latency| (sum + latency, count + 1.0));
    let average = sum / count.max(1.0);
    costs.clear();
    costs.extend(candidates.iter().zip(seen).map(|(candidate, seen)| {
        // Not zero, so that requests in flight count from the first.
        let latency = seen.latency_ms.unwrap_or(average).max(1e-3);
        latency * (number(candidate.in_flight) + 1.0) / candidate.weight.max(f64::MIN_POSITIVE)
    }));
}

/// Draws two of those that are left and gives the place of the cheaper one; those of weight 0 when nothing else is left.
pub(super) fn next(state: &mut StrategyState, left: &mut [usize]) -> usize {
    let StrategyState { rng, costs, weights, .. } = state;
    let is_positive = |index: &usize| weights.get(*index).is_some_and(|&weight| weight > 0);
    let positive = left.iter().filter(|index| is_positive(index)).count();
    if positive > 0 && positive < left.len() {
        left.sort_by_key(|index| !is_positive(index));
    }
    let count = if positive > 0 { positive } else { left.len() };
    if count < 2 {
        return 0;
    }
    let first = rng.usize(..count);
    let second = (first + rng.usize(1..count)) % count;
    let cost = |place: usize| left.get(place).and_then(|&index| costs.get(index)).copied().unwrap_or(f64::INFINITY);
    if cost(second) < cost(first) { second } else { first }
}
