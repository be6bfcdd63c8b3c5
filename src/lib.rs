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
#[allow(unsafe_code, missing_docs)]
mod node;
pub mod options;
pub mod provider;
pub mod route;
pub mod tokens;
pub mod tracker;

pub use error::{Error, ErrorKind, Result};
pub use kinds::Kind;
