//! How one attempt fails: its class, what was said, which clock ran out; and the note that is kept of every attempt.

use std::time::Duration;

use serde::Serialize;

/// The clocks that a call runs against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Waiting for a limit.
    Queue,
    /// Opening a connection.
    Connect,
    /// Headers and first token of one attempt.
    FirstToken,
    /// Gap between two tokens.
    Idle,
    /// One attempt.
    Attempt,
    /// The whole call.
    Total,
}

/// How a deployment failed: decides what is tried next (`docs/design.md`, failures).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The caller's fault: never retried, never failed over.
    Rejected,
    /// The request is longer than the model's context.
    TooLong,
    /// The request asks for what this deployment cannot do, e.g. tools, images or a stream: others may.
    Unsupported,
    /// The request goes on from an earlier answer, or a conversation, that this provider does not have: another may.
    Elsewhere,
    /// The deployment rests for what it said; others are tried now.
    RateLimited,
    /// The account has no quota left.
    Quota,
    /// The key is wrong or has no access.
    Auth,
    /// Worth one more try on the same deployment.
    Transient,
    /// Nothing came in time.
    Silent,
    /// The answer ended early or cannot be read.
    Truncated,
}

impl FailureClass {
    /// The word for it in an [`Attempt`].
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Rejected | Self::Unsupported | Self::Elsewhere => Outcome::Rejected,
            Self::TooLong => Outcome::TooLong,
            Self::RateLimited => Outcome::RateLimited,
            Self::Quota => Outcome::Quota,
            Self::Auth => Outcome::Auth,
            Self::Transient => Outcome::Transient,
            Self::Silent => Outcome::Silent,
            Self::Truncated => Outcome::Truncated,
        }
    }

    /// Whether it is the request that was refused, which says nothing about the deployment.
    #[must_use]
    pub fn blames_request(self) -> bool {
        matches!(self, Self::Rejected | Self::TooLong | Self::Unsupported | Self::Elsewhere)
    }

    /// Whether the same request may succeed later, without anyone changing it or the account.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Transient | Self::Silent | Self::Truncated)
    }
}

/// One failed attempt, as the provider or the wire told it. Never holds a key or a request header.
#[derive(Clone, Debug)]
pub struct Failure {
    /// How it failed.
    pub class: FailureClass,
    /// What happened, in one sentence.
    pub message: String,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// At most 64 KiB of what the provider said.
    pub body: Option<String>,
    /// The provider's own id of the request, for its support.
    pub request_id: Option<String>,
    /// When the provider said to come back.
    pub retry_after: Option<Duration>,
    /// The clock that ran out, if one did.
    pub timeout: Option<(Phase, Duration)>,
    /// Whether the request may have reached the provider: then its tokens stay charged.
    pub is_sent: bool,
    /// Whether the provider refused it before it made any token: then nothing is charged.
    pub is_refused: bool,
    /// A scripted provider has no answer left: not a failure of a deployment, `ERR_EXHAUSTED`.
    pub is_exhausted: bool,
}

impl Failure {
    /// A failure of this class with this message, after the request was sent.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            status: None,
            body: None,
            request_id: None,
            retry_after: None,
            timeout: None,
            is_sent: true,
            is_refused: false,
            is_exhausted: false,
        }
    }

    /// The same, for an answer that was a refusal from its first byte: with a status from 400 to 499 it cost no tokens.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.is_refused = matches!(self.status, Some(400..500));
        self
    }

    /// The same, for a request that never reached the provider.
    #[must_use]
    pub fn unsent(mut self) -> Self {
        self.is_sent = false;
        self
    }

    /// A clock that ran out: class [`FailureClass::Silent`], because waiting for it once more costs as much again.
    #[must_use]
    pub fn timeout(phase: Phase, limit: Duration) -> Self {
        let message = format!("{} after {} ms", phase.describe(), limit.as_millis());
        let mut failure = Self::new(FailureClass::Silent, message);
        failure.timeout = Some((phase, limit));
        failure.is_sent = phase != Phase::Connect;
        failure
    }

    /// What the message says beyond the clock that ran out, such as a proxy that was in the way.
    pub(crate) fn beyond_the_clock(&self) -> Option<&str> {
        let (phase, limit) = self.timeout?;
        let more = self.message.strip_prefix(&Self::timeout(phase, limit).message)?;
        Some(more).filter(|more| !more.is_empty())
    }
}

impl Phase {
    /// What did not happen in time.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Queue => "no room under the limits",
            Self::Connect => "no connection",
            Self::FirstToken => "no first token",
            Self::Idle => "no further token",
            Self::Attempt => "no complete answer to one attempt",
            Self::Total => "no answer",
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It answered.
    Ok,
    /// See [`FailureClass::RateLimited`].
    RateLimited,
    /// See [`FailureClass::Transient`].
    Transient,
    /// See [`FailureClass::Silent`].
    Silent,
    /// See [`FailureClass::Truncated`].
    Truncated,
    /// See [`FailureClass::Auth`].
    Auth,
    /// See [`FailureClass::Quota`].
    Quota,
    /// See [`FailureClass::TooLong`].
    TooLong,
    /// See [`FailureClass::Rejected`].
    Rejected,
    /// The caller left, or another attempt was faster.
    Cancelled,
}

/// One try on one deployment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// `provider::model`.
    pub deployment: String,
    /// Milliseconds from the start of the call to the start of the attempt.
    pub started_ms: f64,
    /// Milliseconds that it took.
    pub duration_ms: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status, if there was an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong, if anything did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
