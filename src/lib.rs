//! thryd: an LLM request router that lives inside your process.
//!
//! Say which deployments may answer and what each may spend per minute; then ask a group. The router picks a
//! deployment that is healthy and has room, waits in a fair line when none has, tries another when one fails, joins
//! equal calls, and keeps answers in memory and in a file that any number of processes share.
//!
//! ```
//! use thryd::kinds::{Completion, CompletionRequest};
//! use thryd::options::{DeployOptions, InvokeOptions, RouterOptions};
//! use thryd::provider::{DummyOptions, ProviderOptions};
//! use thryd::route::CacheStatus;
//! use thryd::tracker::Limits;
//! use thryd::{Router, cache::CacheOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> thryd::Result<()> {
//! // In memory; with a path, the answers outlive the process.
//! let cache = Some(CacheOptions::default());
//! let router: Router<Completion> = Router::new(RouterOptions { cache, ..RouterOptions::default() })?;
//!
//! // The dummy answers without a network, and is kept only when asked. `ProviderOptions::new("openai")` takes its key from
//! // OPENAI_API_KEY.
//! let dummy = DummyOptions { cache: true, ..DummyOptions::default() };
//! router.add_provider(ProviderOptions::new("dummy").dummy(dummy))?;
//! let limits = Limits { rpm: Some(60), tpm: Some(100_000), ..Limits::default() };
//! router.deploy("default", "dummy::gpt-4o", DeployOptions { limits, ..DeployOptions::default() })?;
//! router.deploy("default", "dummy::llama3", DeployOptions::default())?;
//!
//! let ask = || CompletionRequest::message("Explain async and sync programming.").set("temperature", 0.7);
//! let answer = router.invoke("default", ask(), InvokeOptions::default()).await?;
//! assert_eq!(answer.content, "Explain async and sync programming.");
//! assert_eq!(answer.cache, CacheStatus::Miss);
//! assert_eq!(answer.attempts.len(), 1);
//!
//! let again = router.invoke("default", ask(), InvokeOptions::default()).await?;
//! assert_eq!(again.cache, CacheStatus::Memory);
//! # Ok(())
//! # }
//! ```
//!
//! The parts, each of which knows only those before it:
//!
//! - [`error`]: every way to fail, as data; [`constants`]; [`kinds`]: what can be asked, and how it looks on the wire;
//! - [`tokens`], [`tracker`] (the sliding window), [`health`];
//! - [`provider`] (dialects, pure), [`connections`] (sockets), [`redis`] (what processes share), [`cache`] (answers by key);
//! - [`route`]: the order in which things happen; [`options`]: everything that can be set;
//! - [`gateway`]: the same over OpenAI's HTTP API, without a server.
//!
//! The feature `node`, on by default, adds the binding for Node; without it this is plain Rust.
#![deny(unsafe_code, missing_docs)]
#![warn(clippy::all, clippy::pedantic)]

pub mod cache;
mod compression;
pub mod connections;
pub mod constants;
mod deployment;
pub mod error;
pub mod fields;
pub mod gateway;
pub mod health;
pub mod kinds;
#[cfg(feature = "node")]
#[allow(unsafe_code, missing_docs, reason = "what the binding's macros write")]
#[cfg_attr(test, allow(dead_code, reason = "the macros register nothing in tests"))]
#[allow(clippy::needless_pass_by_value, reason = "Node-API hands over owned values")]
mod node;
pub mod options;
pub mod provider;
pub mod redis;
pub mod route;
mod sync;
pub mod tokens;
pub mod tracker;

pub use error::{Error, ErrorKind, Result};
pub use kinds::Kind;
pub use route::Router;

/// What the page shows, which has to compile.
#[cfg(doctest)]
#[doc = include_str!("../docs/extending.md")]
struct Extending;
