//! In turn: after the one that was used last comes the one behind it.

use super::{Candidate, StrategyState};

/// Begins with the one whose turn it is.
pub(super) fn order(_candidates: &[Candidate], state: &mut StrategyState, out: &mut [usize]) {
    // `fit` keeps the turn below the number of candidates.
    out.rotate_left(state.turn.min(out.len()));
}
