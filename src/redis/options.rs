//! How a Redis is reached: what its options say, checked.

use std::time::Duration;

use super::address::Address;
use crate::error::Invalid;
use crate::fields::Fields;

/// What keys begin with unless the options say otherwise.
const PREFIX: &str = "thryd";

/// Longest prefix, in bytes.
const MAX_PREFIX_BYTES: usize = 64;

/// How long a command may take unless the options say otherwise: far longer than any takes, and short enough to be waited for.
const TIMEOUT: Duration = Duration::from_millis(100);

/// A Redis, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RedisOptions {
    /// Where it is, and with which credentials.
    pub address: Address,
    /// What all keys begin with, without braces, at most 64 bytes. Default `thryd`.
    pub prefix: String,
    /// How long one command may take, 1 ms to 10 s, before Redis counts as away. Default 100 ms. One that has to wait for a
    /// connection takes a second at most if this is less.
    pub timeout: Duration,
}

impl RedisOptions {
    /// The defaults at this URL; `path` is what messages call it.
    ///
    /// # Errors
    /// If it is not a URL that [`Address::parse`] takes.
    pub fn at(path: &str, url: &str) -> Result<Self, Invalid> {
        Ok(Self { address: Address::parse(path, url)?, prefix: PREFIX.to_owned(), timeout: TIMEOUT })
    }

    /// Takes `url`, `prefix` and `timeoutMs`.
    ///
    /// # Errors
    /// If one of them is absent that has to be there, of the wrong type or out of range.
    pub fn take(fields: &mut Fields) -> Result<Self, Invalid> {
        Self::take_or_within(fields, TIMEOUT)
    }

    /// The same where `timeoutMs` has another default.
    ///
    /// # Errors
    /// As [`RedisOptions::take`].
    pub fn take_or_within(fields: &mut Fields, timeout: Duration) -> Result<Self, Invalid> {
        let url = fields.required_string("url")?;
        let mut options = Self { timeout, ..Self::at(&fields.path_of("url"), &url)? };
        if let Some(prefix) = fields.string("prefix")? {
            let is_fit = !prefix.is_empty() && prefix.len() <= MAX_PREFIX_BYTES;
            if !is_fit || prefix.contains(['{', '}']) {
                return Err(fields.type_error(
                    "prefix",
                    "a text of 1 to 64 bytes without braces",
                    format!("{prefix:?}"),
                ));
            }
            options.prefix = prefix;
        }
        if let Some(milliseconds) = fields.number("timeoutMs", 1.0, 10_000.0)? {
            options.timeout = Duration::from_secs_f64(milliseconds / 1000.0);
        }
        Ok(options)
    }
}
