//! The order in which things happen to a call (`docs/design.md`, what a request goes through).

mod across;
mod answer;
mod attempt;
mod begin;
mod bell;
mod call;
mod consider;
mod core;
mod departure;
mod estimate;
mod fly;
mod group;
mod hosts;
mod keys;
pub mod line;
pub mod log;
mod memo;
mod missing;
mod mount;
#[cfg(test)]
mod panics;
mod parts;
mod patience;
mod pick;
mod proof;
mod race;
mod retired;
pub mod retry;
mod router;
mod serve;
mod states;
mod stats;
pub mod strategy;
mod stream;
mod trial;
mod warm_up;
mod write;

pub use answer::{Answer, CacheStatus};
pub use begin::Hit;
pub use call::Begun;
pub use hosts::Hosts;
pub use memo::Recalled;
pub use router::Router;
pub use stats::{DeploymentStats, GroupStats, LimitStats, ProviderStats, RouterStats, WindowStats};
pub use stream::{AnswerStream, Batch, CompletionStream, Origin, Poll};
