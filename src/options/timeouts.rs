//! The clocks of a call.

use std::time::Duration;

use crate::error::{Invalid, Phase};
use crate::fields::Fields;

/// Their names in options.
pub(super) const TIMEOUT_NAMES: &str = "connectMs, firstTokenMs, idleMs, attemptMs, totalMs, queueMs";

/// The clocks of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Opening a connection. Default 10 s.
    pub connect: Duration,
    /// Headers and first token of one attempt. Default 60 s on a stream; a whole answer has no first token, so it gets
    /// all of `attempt` unless this is set.
    pub first_token: Option<Duration>,
    /// Gap between two tokens, or two reads of a whole answer. Default 30 s.
    pub idle: Duration,
    /// One attempt. Default 600 s.
    pub attempt: Duration,
    /// The whole call, waiting included. Default none.
    pub total: Option<Duration>,
    /// Waiting for a limit; zero fails at once. Default 60 s.
    pub queue: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_token: None,
            idle: Duration::from_secs(30),
            attempt: Duration::from_secs(600),
            total: None,
            queue: Duration::from_secs(60),
        }
    }
}

/// First token of a stream, when nothing was set.
const STREAM_FIRST_TOKEN: Duration = Duration::from_secs(60);

impl Timeouts {
    /// The clock for headers and first token; none for a whole answer unless it was set.
    #[must_use]
    pub fn first_token_of(&self, is_stream: bool) -> Option<Duration> {
        self.first_token.or(is_stream.then_some(STREAM_FIRST_TOKEN))
    }

    /// The clock of a phase, if it has one.
    #[must_use]
    pub fn of(&self, phase: Phase, is_stream: bool) -> Option<Duration> {
        match phase {
            Phase::Queue => Some(self.queue),
            Phase::Connect => Some(self.connect),
            Phase::FirstToken => self.first_token_of(is_stream),
            Phase::Idle => Some(self.idle),
            Phase::Attempt => Some(self.attempt),
            Phase::Total => self.total,
        }
    }

    /// Takes the clocks out of `fields`; those that are absent keep their value.
    pub(super) fn overlay(mut self, fields: &mut Fields) -> Result<Self, Invalid> {
        self.connect = fields.duration_ms("connectMs")?.unwrap_or(self.connect);
        self.first_token = fields.duration_ms("firstTokenMs")?.or(self.first_token);
        self.idle = fields.duration_ms("idleMs")?.unwrap_or(self.idle);
        self.attempt = fields.duration_ms("attemptMs")?.unwrap_or(self.attempt);
        self.total = fields.duration_ms("totalMs")?.or(self.total);
        self.queue = fields.duration_ms("queueMs")?.unwrap_or(self.queue);
        Ok(self)
    }
}
