//! Stub: what an answer that is not a success means.
use crate::connections::Rejection;
use crate::error::Failure;

/// Classifies.
#[must_use]
pub fn classify(_rejection: &Rejection<'_>) -> Failure {
    todo!()
}
