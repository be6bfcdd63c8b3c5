//! Stub: the order in which things happen.
pub mod retry;
