//! A script that a server runs, all or nothing: sent once, then named by its hash.

use std::sync::LazyLock;

pub(super) use redis::Script as Source;
use redis::Value;

use super::Redis;
use super::fault::{Fault, FaultKind};

/// See the module.
pub(super) struct Script {
    source: LazyLock<Source>,
    text: &'static str,
}

impl Script {
    pub const fn new(text: &'static str, source: fn() -> Source) -> Self {
        Self { source: LazyLock::new(source), text }
    }

    /// Runs it on these keys, which are of one slot.
    ///
    /// # Errors
    /// As [`Redis::run`].
    pub async fn run(&self, redis: &Redis, keys: &[&str], values: &[Argument<'_>]) -> Result<Value, Fault> {
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(keys.len()).arg(keys);
            for value in values {
                match value {
                    Argument::Number(number) => command.arg(*number),
                    Argument::Text(text) => command.arg(*text),
                };
            }
            command
        };
        let key = keys.first().map_or(&b""[..], |key| key.as_bytes());
        match redis.run(key, &command("EVALSHA", self.source.get_hash())).await {
            // Restarted, flushed, or never told.
            Err(Fault { kind: FaultKind::NoScript, .. }) => redis.run(key, &command("EVAL", self.text)).await,
            answer => answer,
        }
    }
}

/// What a script is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Argument<'a> {
    Number(u64),
    Text(&'a str),
}
