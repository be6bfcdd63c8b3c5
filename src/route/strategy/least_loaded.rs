//! The one with the least to do for the room that it has: `(in_flight + 1) / headroom`, where headroom is the product of
//! the shares of requests, of tokens and of slots that are left.
//!
//! A product, because each of them slows a deployment down on its own, and because more of any of them is then always
//! better. Among equals they take turns.

use std::cmp::Ordering;

use super::{Candidate, StrategyState, number, share};

/// Computes every cost once. Equals stay in the order in which they are in: by turn.
pub(super) fn begin(candidates: &[Candidate], state: &mut StrategyState, left: &mut [usize]) {
    left.rotate_left(state.turn.min(left.len()));
    state.costs.clear();
    state.costs.extend(candidates.iter().map(cost));
}

/// The place of the best. One that is no better in anything and worse in something never goes before the other.
pub(super) fn next(candidates: &[Candidate], state: &StrategyState, left: &[usize]) -> usize {
    let cost = |index: usize| state.costs.get(index).copied().unwrap_or(f64::INFINITY);
    let is_better = |index: usize, best: usize| match (candidates.get(index), candidates.get(best)) {
        (Some(one), Some(other)) => compare_parts(one, other) == Ordering::Less,
        _ => false,
    };
    let mut places = left.iter().copied().enumerate();
    let Some((mut place, mut best)) = places.next() else { return 0 };
    let mut least = cost(best);
    for (at, index) in places {
        let cost = cost(index);
        // A plain comparison: costs are numbers or infinite, never NaN.
        #[allow(clippy::float_cmp, reason = "what differs by rounding alone differs")]
        if cost < least || (cost == least && is_better(index, best)) {
            (place, best, least) = (at, index, cost);
        }
    }
    place
}

/// Where rounding or a zero hides a difference of cost, each part of it.
fn compare_parts(left: &Candidate, right: &Candidate) -> Ordering {
    let by_load = left.in_flight.cmp(&right.in_flight);
    let by_requests = || share(right.requests_left).total_cmp(&share(left.requests_left));
    let by_tokens = || share(right.tokens_left).total_cmp(&share(left.tokens_left));
    let by_slots = || slots(right).total_cmp(&slots(left));
    by_load.then_with(by_requests).then_with(by_tokens).then_with(by_slots)
}

fn cost(candidate: &Candidate) -> f64 {
    if candidate.max_concurrent.is_some_and(|max| candidate.in_flight >= max) {
        // What the formula says, without its divisions: in a crowd nearly all are full.
        return f64::INFINITY;
    }
    let headroom = share(candidate.requests_left) * share(candidate.tokens_left) * slots(candidate);
    (number(candidate.in_flight) + 1.0) / headroom
}

/// Share of the slots that is free.
fn slots(candidate: &Candidate) -> f64 {
    match candidate.max_concurrent {
        None => 1.0,
        Some(max) => share(1.0 - number(candidate.in_flight) / number(max.max(1))),
    }
}
