//! Stub: the order in which things happen.
pub mod line;
pub mod strategy;
