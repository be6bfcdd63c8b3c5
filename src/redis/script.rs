//! A script that a server runs, all or nothing: sent once, then named by its hash.

use std::sync::OnceLock;

use redis::Value;

use super::Redis;
use super::fault::{Fault, FaultKind};

/// See the module.
pub(super) struct Script {
    /// What it is made of.
    parts: &'static [&'static str],
    whole: OnceLock<(String, String)>,
}

impl Script {
    pub const fn new(parts: &'static [&'static str]) -> Self {
        Self { parts, whole: OnceLock::new() }
    }

    /// Runs it on these keys, which are of one slot.
    ///
    /// # Errors
    /// As [`Redis::run`].
    pub async fn run(&self, redis: &Redis, keys: &[&str], values: &[&[u8]]) -> Result<Value, Fault> {
        let (text, hash) = self.whole.get_or_init(|| {
            let text = self.parts.concat();
            let hash = redis::Script::new(&text).get_hash().to_owned();
            (text, hash)
        });
        let key = keys.first().map_or(&b""[..], |key| key.as_bytes());
        let mut is_known = true;
        loop {
            let mut command = redis::Cmd::with_capacity(keys.len() + values.len() + 3, 1024);
            command.arg(if is_known { "EVALSHA" } else { "EVAL" });
            command.arg(if is_known { hash } else { text }).arg(keys.len().to_string());
            for bytes in keys.iter().map(|key| key.as_bytes()).chain(values.iter().copied()) {
                command.arg(bytes);
            }
            match redis.run(key, &command).await {
                // Restarted, flushed, or never told.
                Err(Fault { kind: FaultKind::NoScript, .. }) if std::mem::take(&mut is_known) => {}
                answer => return answer,
            }
        }
    }
}
