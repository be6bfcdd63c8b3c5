//! thryd: an LLM request router that lives inside your process.
#![deny(unsafe_code, missing_docs)]
#![warn(clippy::all, clippy::pedantic)]

pub mod cache;
pub mod connections;
pub mod constants;
mod deployment;
pub mod error;
pub mod fields;
pub mod health;
pub mod kinds;
#[cfg(feature = "node")]
#[allow(unsafe_code, missing_docs, reason = "what the binding's macros write")]
#[cfg_attr(test, allow(dead_code, reason = "the macros register nothing in tests"))]
#[allow(clippy::needless_pass_by_value, reason = "Node-API hands over owned values")]
mod node;
pub mod options;
pub mod provider;
pub mod route;
pub mod tokens;
pub mod tracker;

pub use error::{Error, ErrorKind, Result};
pub use kinds::Kind;
