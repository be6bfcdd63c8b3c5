//! In turn: after the one that was used last comes the one behind it.

use super::StrategyState;

/// Begins with the one whose turn it is.
pub(super) fn begin(state: &StrategyState, left: &mut [usize]) {
    // `fit` keeps the turn below the number of candidates.
    left.rotate_left(state.turn.min(left.len()));
}
