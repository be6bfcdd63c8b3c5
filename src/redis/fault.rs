//! What goes wrong with a Redis.

use std::fmt;
use std::io;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::address::{Credentials, Endpoint};

/// Why a command was not answered as it should have been. Cheap to clone, and without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it means for the connection.
    pub kind: FaultKind,
    /// In words.
    pub message: String,
}

/// What a fault means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// There is no connection, or it broke: nobody knows whether the command ran.
    Away,
    /// No answer in time. The connection is given up, because the answer may still come.
    Slow,
    /// The server refused, and the connection is as good as before: full, read-only, a key of another type.
    Refused,
    /// The server does not have the script.
    NoScript,
    /// Another node of the Cluster has the key's slot; with `ask` for this once.
    Moved {
        /// `host:port`, as the server wrote it.
        to: String,
        /// Whether only this command is to go there.
        ask: bool,
    },
}

impl Fault {
    pub(crate) fn away(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Away, message: message.into() }
    }

    /// What a server said that is not what was asked for.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Refused, message: message.into() }
    }

    pub(super) fn slow(who: impl fmt::Display, limit: Duration) -> Self {
        let milliseconds = limit.as_micros().div_ceil(1000);
        Self { kind: FaultKind::Slow, message: format!("{who} did not answer within {milliseconds} ms") }
    }

    /// What the client library says, of a command to this server.
    pub(super) fn of(error: &RedisError, endpoint: &Endpoint, credentials: &Credentials) -> Self {
        let kind = match error.kind() {
            ErrorKind::Io | ErrorKind::Parse => FaultKind::Away,
            ErrorKind::Server(ServerErrorKind::NoScript) => FaultKind::NoScript,
            ErrorKind::Server(kind @ (ServerErrorKind::Moved | ServerErrorKind::Ask)) => match error.redirect_node() {
                Some((to, _)) => FaultKind::Moved { to: to.to_owned(), ask: kind == ServerErrorKind::Ask },
                None => FaultKind::Refused,
            },
            _ => FaultKind::Refused,
        };
        let words = match (error.code(), error.detail()) {
            (Some("WRONGPASS"), _) => "user and password are not accepted".to_owned(),
            // A command that it does not know is repeated with all that it was told.
            (Some(code), Some(detail)) => format!("{code} {}", detail.split(", with args").next().unwrap_or_default()),
            (Some(code), None) => code.to_owned(),
            _ => error.to_string(),
        };
        Self { kind, message: format!("{endpoint}: {}", credentials.taken_out_of(words)) }
    }

    /// Whether the server answered, and said no.
    pub(crate) fn is_refusal(&self) -> bool {
        !matches!(self.kind, FaultKind::Away | FaultKind::Slow)
    }

    /// Whether the connection it came over is of no more use: it broke, or leads to a server that is no longer the one to ask, or
    /// no longer accepts who asks. Scripts of old servers have the word amid others.
    pub(super) fn ends_connection(&self) -> bool {
        let ends = || ["READONLY", "MASTERDOWN", "NOAUTH"].iter().any(|code| self.message.contains(code));
        matches!(self.kind, FaultKind::Away | FaultKind::Slow) || ends()
    }

    /// Whether a Cluster has to be asked again who has which slots.
    pub(super) fn is_of_old_table(&self) -> bool {
        self.ends_connection() || self.message.contains("CLUSTERDOWN")
    }
}

impl From<(&Endpoint, io::Error)> for Fault {
    fn from((endpoint, error): (&Endpoint, io::Error)) -> Self {
        Self::away(format!("{endpoint}: {error}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests;
