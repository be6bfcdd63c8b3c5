//! Every way a call can fail, as data: a code, whether trying again may help, when, and what was tried.
//!
//! One public type, [`Error`], one word wide and cheap to clone, because callers that joined one request share its
//! failure. Callers ask it questions ([`Error::code`], [`Error::is_retryable`], [`Error::retry_after`]) instead of
//! reading its text; whoever needs the details matches on [`Error::kind`].

mod failure;
mod mask;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use failure::{Attempt, Failure, FailureClass, Outcome, Phase};
pub(crate) use mask::masked;

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed call.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    attempts: Vec<Attempt>,
}

/// What went wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A programming error in the arguments: a `TypeError` or a `RangeError` in JavaScript.
    Invalid(Invalid),
    /// No group has this name, or the group has no deployment.
    NoGroup {
        /// The name that was asked for.
        group: String,
        /// The groups there are.
        known: Vec<String>,
    },
    /// A model names a provider that was not added, or a provider cannot be made as configured.
    NoProvider(String),
    /// The deployments of the group cannot do what is asked.
    Unsupported(String),
    /// No deployment has room before the deadline.
    RateLimited {
        /// The group that was asked.
        group: String,
        /// When it is worth trying again.
        retry_after: Duration,
        /// What put the deployments to rest, if it is not a limit that binds.
        reason: Option<String>,
    },
    /// The request can never fit a limit.
    TooLarge {
        /// Tokens that the request needs.
        tokens: u64,
        /// The largest limit that any deployment of the group has.
        limit: u64,
        /// Which limit: `tpm` or `contextWindow`.
        field: &'static str,
    },
    /// A clock ran out.
    Timeout {
        /// Which clock.
        phase: Phase,
        /// What it was set to.
        limit: Duration,
        /// The deployment that was silent, if one had been asked.
        deployment: Option<String>,
        /// What else is known, as the end of a sentence: a proxy that was in the way of the connection.
        detail: Option<String>,
    },
    /// A deployment failed or refused.
    Provider {
        /// `provider::model`.
        deployment: String,
        /// How it failed.
        failure: Failure,
    },
    /// A stream ended early, after its reader had been given something.
    Interrupted {
        /// `provider::model`.
        deployment: String,
        /// The content that the reader already has.
        delivered: String,
        /// Why it ended.
        failure: Failure,
    },
    /// Every attempt failed, or a scripted provider ran out of answers.
    Exhausted {
        /// A sentence that says so.
        message: String,
        /// The failures, in order.
        errors: Vec<Error>,
    },
    /// The cache was to answer alone and has no such answer.
    NotCached {
        /// The group that was asked.
        group: String,
        /// What is there instead, if it was looked for: goes on from the sentence that says that this is not.
        hint: Option<String>,
    },
    /// The cache was to answer alone, and nobody knows whether it has the answer: its Redis was not looked into.
    CacheUnread {
        /// The group that was asked.
        group: String,
        /// Why it was not.
        why: String,
    },
    /// The cache cannot be opened or used.
    Cache {
        /// The file, or what else names the cache.
        path: String,
        /// Why.
        message: String,
    },
    /// The router or the cache was closed.
    Closed(&'static str),
    /// The caller cancelled.
    Cancelled,
    /// A defect of this library: a panic that was caught.
    Bug(String),
}

/// A bad argument: which, what was expected, what came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Path of the field, e.g. `deploy options.rpm`.
    pub field: String,
    /// What would have been right, e.g. `an integer from 1 to 9007199254740991`.
    pub expected: String,
    /// What came, e.g. `-1`.
    pub got: String,
    /// A number of the right type out of its range (`RangeError`), as opposed to the wrong type (`TypeError`).
    pub is_range: bool,
}

impl Invalid {
    /// A value of the wrong type or form.
    pub fn type_error(field: impl Into<String>, expected: impl Into<String>, got: impl fmt::Display) -> Self {
        Self { field: field.into(), expected: expected.into(), got: got.to_string(), is_range: false }
    }

    /// A number out of its range.
    pub fn range_error(field: impl Into<String>, expected: impl Into<String>, got: impl fmt::Display) -> Self {
        Self { is_range: true, ..Self::type_error(field, expected, got) }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.field, self.expected, self.got)
    }
}

impl Error {
    /// What went wrong, in detail.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Every attempt of the call, in order.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// The same error with the call's attempts.
    #[must_use]
    pub fn with_attempts(mut self, attempts: Vec<Attempt>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.attempts = attempts;
            return self;
        }
        Self(Arc::new(Inner { kind: self.0.kind.clone(), attempts }))
    }

    /// The stable code, e.g. `ERR_RATE_LIMITED`. Empty for bad arguments and cancelled calls, which JavaScript knows
    /// by other means.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind() {
            ErrorKind::Invalid(_) | ErrorKind::Cancelled => "",
            ErrorKind::NoGroup { .. } => "ERR_NO_GROUP",
            ErrorKind::NoProvider(_) => "ERR_NO_PROVIDER",
            ErrorKind::Unsupported(_) => "ERR_UNSUPPORTED",
            ErrorKind::RateLimited { .. } => "ERR_RATE_LIMITED",
            ErrorKind::TooLarge { .. } => "ERR_TOO_LARGE",
            ErrorKind::Timeout { .. } => "ERR_TIMEOUT",
            ErrorKind::Provider { .. } => "ERR_PROVIDER",
            ErrorKind::Interrupted { .. } => "ERR_INTERRUPTED",
            ErrorKind::Exhausted { .. } => "ERR_EXHAUSTED",
            ErrorKind::NotCached { .. } | ErrorKind::CacheUnread { .. } => "ERR_NOT_CACHED",
            ErrorKind::Cache { .. } => "ERR_CACHE",
            ErrorKind::Closed(_) => "ERR_CLOSED",
            ErrorKind::Bug(_) => "ERR_BUG",
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.kind() {
            ErrorKind::RateLimited { .. } | ErrorKind::Timeout { .. } | ErrorKind::CacheUnread { .. } => true,
            ErrorKind::Provider { failure, .. } | ErrorKind::Interrupted { failure, .. } => {
                failure.class.is_retryable()
            }
            ErrorKind::Exhausted { errors, .. } => errors.iter().any(Self::is_retryable),
            _ => false,
        }
    }

    /// When it is worth trying again, if that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.kind() {
            ErrorKind::RateLimited { retry_after, .. } => Some(*retry_after),
            ErrorKind::Provider { failure, .. } | ErrorKind::Interrupted { failure, .. } => failure.retry_after,
            ErrorKind::Exhausted { errors, .. } => errors.iter().filter_map(Self::retry_after).min(),
            _ => None,
        }
    }

    /// A cache that cannot be used.
    pub fn cache(path: impl fmt::Display, message: impl fmt::Display) -> Self {
        ErrorKind::Cache { path: path.to_string(), message: message.to_string() }.into()
    }
}

/// The text of a panic that was caught.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").to_owned()
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Arc::new(Inner { kind, attempts: Vec::new() }))
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        ErrorKind::Invalid(invalid).into()
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", self.kind()).field("attempts", &self.attempts().len()).finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            ErrorKind::Invalid(invalid) => invalid.fmt(f),
            ErrorKind::NoGroup { group, known } if known.is_empty() => {
                write!(f, "no group \"{group}\": there are none yet; call deploy(\"{group}\", \"provider::model\")")
            }
            ErrorKind::NoGroup { group, known } => write!(f, "no group \"{group}\"; there are: {}", known.join(", ")),
            ErrorKind::NoProvider(message) | ErrorKind::Unsupported(message) | ErrorKind::Exhausted { message, .. } => {
                f.write_str(message)
            }
            ErrorKind::RateLimited { group, retry_after, reason } => {
                let wait = milliseconds(*retry_after);
                write!(f, "group \"{group}\" cannot answer in time; retry after {wait} ms")?;
                reason.iter().try_for_each(|reason| write!(f, "; its deployments rest: {reason}"))
            }
            ErrorKind::TooLarge { tokens, limit, field } => {
                write!(f, "the request needs {tokens} tokens, more than the largest {field} of its group, {limit}")
            }
            ErrorKind::Timeout { phase, limit, deployment, detail } => {
                write!(f, "{} after {} ms", phase.describe(), limit.as_millis())?;
                deployment.iter().try_for_each(|name| write!(f, " from {name}"))?;
                f.write_str(detail.as_deref().unwrap_or_default())
            }
            ErrorKind::Provider { deployment, failure } => {
                write!(f, "{deployment}: ")?;
                failure.status.iter().try_for_each(|status| write!(f, "{status} "))?;
                f.write_str(&failure.message)
            }
            ErrorKind::Interrupted { deployment, delivered, failure } => {
                let length = delivered.chars().count();
                write!(f, "{deployment}: the stream ended early, after {length} characters: {}", failure.message)
            }
            ErrorKind::NotCached { group, hint } => {
                write!(f, "group \"{group}\": this request is not in the cache{}", hint.as_deref().unwrap_or_default())
            }
            ErrorKind::CacheUnread { group, why } => write!(f, "group \"{group}\": Redis was not looked into: {why}"),
            ErrorKind::Cache { path, message } => write!(f, "cache {path}: {message}"),
            ErrorKind::Closed(what) => write!(f, "the {what} is closed"),
            ErrorKind::Cancelled => f.write_str("the call was cancelled"),
            ErrorKind::Bug(message) => write!(f, "a defect of thryd, please report it: {message}"),
        }
    }
}

impl std::error::Error for Error {}

/// Whole milliseconds, rounded up, so that who waits for them does not come too early.
#[must_use]
pub fn milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
