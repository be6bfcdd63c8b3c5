//! Power of two choices (Mitzenmacher 2001; Finagle's and tower's `PeakEwma` balancers): of two drawn at random, the one
//! of lower cost `latency * (in_flight + 1) / weight` goes first. Two rather than all, so that callers who see the same
//! numbers do not all run to the same deployment.
//!
//! One that has never answered counts as the average of those that have: it is tried, and as its requests in flight
//! raise its cost at once, it is not flooded before it has shown what it can do.

use super::{Candidate, StrategyState, number};

/// Draws without replacement until all are placed; those of weight 0 last.
pub(super) fn order(candidates: &[Candidate], state: &mut StrategyState, out: &mut [usize]) {
    let StrategyState { rng, costs, weights, .. } = state;
    let seen = |candidate: &Candidate| candidate.latency_ms.filter(|latency| latency.is_finite() && *latency >= 0.0);
    let (sum, count) =
        candidates.iter().filter_map(seen).fold((0.0, 0.0_f64), |(sum, count), latency| (sum + latency, count + 1.0));
    let average = sum / count.max(1.0);
    costs.clear();
    costs.extend(candidates.iter().map(|candidate| {
        // Not zero, so that requests in flight count from the first.
        let latency = seen(candidate).unwrap_or(average).max(1e-3);
        latency * (number(candidate.in_flight) + 1.0) / candidate.weight.max(f64::MIN_POSITIVE)
    }));
    let cost = |index: usize| costs.get(index).copied().unwrap_or(f64::INFINITY);
    out.sort_by_key(|&index| weights.get(index).is_none_or(|&weight| weight == 0));
    let positive = weights.iter().filter(|&&weight| weight > 0).count();
    let (weighted, rest) = out.split_at_mut(positive.min(out.len()));
    for mut pool in [weighted, rest] {
        while pool.len() > 1 {
            let first = rng.usize(..pool.len());
            let second = (first + rng.usize(1..pool.len())) % pool.len();
            let best = match (pool.get(first), pool.get(second)) {
                (Some(&left), Some(&right)) if cost(right) < cost(left) => second,
                _ => first,
            };
            pool.swap(0, best);
            pool = pool.split_at_mut(1).1;
        }
    }
}
