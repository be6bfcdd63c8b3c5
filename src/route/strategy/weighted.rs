//! Smooth weighted round-robin, as nginx does it (`ngx_http_upstream_get_peer`): each pick owes everyone its weight, and
//! the one that is owed most is picked and pays the sum. In any row of picks as long as the sum of the weights, each is
//! picked exactly as often as its weight says, and never in a burst.
//!
//! Weights are counted in millionths, so that sums are exact and 0.7, 0.2, 0.1 means what it says.

use super::{Candidate, StrategyState};

/// The place of the one that is owed most; those of weight 0 last. Among equals the first deployed.
pub(super) fn next(state: &StrategyState, left: &[usize]) -> usize {
    let due = |index: usize| {
        let weight = state.weights.get(index).copied().unwrap_or(0);
        let owed = state.owed.get(index).copied().unwrap_or(0);
        (weight > 0).then(|| owed.saturating_add(weight))
    };
    let most = left.iter().enumerate().min_by_key(|&(_, &index)| std::cmp::Reverse(due(index)));
    most.map_or(0, |(place, _)| place)
}

/// Books one pick. Those that stood before it in the order had no room: they neither gain nor pay, as peers that are
/// down do not in nginx, so that the others share exactly and nobody is paid back for the time it was full.
pub(super) fn picked(state: &mut StrategyState, index: usize) {
    let StrategyState { owed, weights, .. } = state;
    let due = |index: usize, owed: i64, weight: i64| (owed.saturating_add(weight), std::cmp::Reverse(index));
    let bar = match (owed.get(index), weights.get(index)) {
        (Some(&owed), Some(&weight)) if weight > 0 => due(index, owed, weight),
        _ => return,
    };
    let mut sum = 0_i64;
    for (index, (owed, &weight)) in owed.iter_mut().zip(weights.iter()).enumerate() {
        if weight > 0 && due(index, *owed, weight) <= bar {
            *owed = owed.saturating_add(weight);
            sum = sum.saturating_add(weight);
        }
    }
    if let Some(owed) = owed.get_mut(index) {
        *owed = owed.saturating_sub(sum);
    }
}

/// The weight in millionths; at least one if it is not zero, at most 10^15.
pub(super) fn units(candidate: &Candidate) -> i64 {
    // The cast saturates, and makes zero of what is not a number.
    #[allow(clippy::cast_possible_truncation, reason = "at most 10^15")]
    let units = (candidate.weight.min(1e9) * 1e6).round() as i64;
    units.max(i64::from(candidate.weight > 0.0))
}
