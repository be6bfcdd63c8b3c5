//! The order of deployment: the first that has room is taken, the others are its reserve.

use super::{Candidate, StrategyState};

/// `out` holds all indices in ascending order already.
pub(super) fn order(_candidates: &[Candidate], _state: &mut StrategyState, _out: &mut [usize]) {}
