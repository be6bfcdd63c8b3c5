//! Values by key, as a cache keeps them: read, kept unless something newer is there, and asked for by one process at a time.

use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::fault::Fault;
use super::script::Script;
use super::watches::{Watch, Watches};
use super::{Purpose, Redis, RedisOptions};

static KEEP: Script = Script::new(&[include_str!("scripts/keep.lua")]);
static TURN: Script = Script::new(&[include_str!("scripts/turn.lua")]);
static CLEARED: Script = Script::new(&[include_str!("scripts/cleared.lua")]);
static LEASE: Script = Script::new(&[include_str!("scripts/lease.lua")]);

/// Most that is told at once of what was cleared.
const TOLD_AT_ONCE: usize = 1000;

/// How long a command may take at least before the connection is given up: what is long is written over it too.
const PATIENCE: Duration = Duration::from_secs(1);

/// Longest that a server can be told to keep something, about a hundred years.
const LONGEST_MS: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// See the module.
pub(crate) struct Values {
    redis: Redis,
    watches: Watches,
}

/// What is under a key.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    Value(Bytes),
    /// Of another type: somebody else's.
    Foreign,
}

/// What became of a value that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    /// One that was made since it was asked for is there.
    Overtaken,
    /// Something of another type or of a newer version is there, and stays.
    Foreign,
}

/// Who asks for an answer that is not there.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It is there.
    Answer(Bytes),
    /// Whoever asked, with its token.
    Taken,
    /// Another process, with this token.
    Held(Bytes),
    /// Nobody can tell: something else is under one of the keys.
    Unfit,
}

/// What was cleared. Times are in microseconds of the server's clock, each later than all before.
#[derive(Debug)]
pub(crate) struct History {
    /// Up to when this tells.
    pub told: u64,
    /// What is of before is of nobody, whatever it was.
    pub since: u64,
    /// When what was asked for was cleared, or 0.
    pub own: u64,
    /// What was cleared, the earliest first.
    pub news: Vec<(String, u64)>,
    /// Whether there is more to be told.
    pub is_part: bool,
}

impl History {
    fn read(said: Value) -> Option<Self> {
        let Value::Array(parts) = said else { return None };
        let mut texts = parts.into_iter().map(|part| match part {
            Value::BulkString(text) => String::from_utf8(text).ok(),
            _ => None,
        });
        let mut number = || texts.next()??.parse().ok();
        let (told, since, own) = (number()?, number()?, number()?);
        let mut news = Vec::new();
        while let Some(name) = texts.next() {
            news.push((name?, texts.next()??.parse().ok()?));
        }
        let is_part = news.len() >= TOLD_AT_ONCE;
        Some(Self { told, since, own, news, is_part })
    }
}

/// A value that is to be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping<'a> {
    pub key: &'a str,
    pub value: &'a [u8],
    pub ttl_ms: u64,
    /// When it was asked for, and now, in milliseconds since 1970.
    pub asked_ms: u64,
    pub now_ms: u64,
    /// The lease of its question, of the same slot, and the token that it was taken with, or an empty one.
    pub lease: &'a str,
    pub token: &'a str,
}

impl Values {
    /// Whoever waits for less than a second has to see to that: a connection is not given up before.
    pub fn new(options: &RedisOptions) -> Self {
        let options = RedisOptions { timeout: options.timeout.max(PATIENCE), ..options.clone() };
        Self { watches: Watches::new(options.clone()), redis: Redis::shared_by(Purpose::Values, options) }
    }

    /// Whether a server is away.
    pub fn is_away(&self) -> bool {
        self.redis.fault().is_some()
    }

    /// Why the one server is away, if there is but one and it is.
    pub fn gone(&self) -> Option<Fault> {
        self.redis.fault().filter(|_| self.redis.is_one())
    }

    /// # Errors
    /// As [`Redis::run`].
    pub async fn get(&self, key: &str) -> Result<Found, Fault> {
        let mut command = redis::cmd("GET");
        command.arg(key);
        match self.redis.run(key.as_bytes(), &command).await {
            Ok(Value::BulkString(value)) => Ok(Found::Value(value.into())),
            Ok(Value::Nil) => Ok(Found::Nothing),
            Ok(_) => Err(Fault::refused("GET was answered with something else than a value")),
            Err(fault) if fault.message.contains("WRONGTYPE") => Ok(Found::Foreign),
            Err(fault) => Err(fault),
        }
    }

    /// Whether this set tells of anything since `seen`, or of less: by a command that costs the server next to nothing.
    ///
    /// # Errors
    /// As [`Redis::run`].
    pub async fn has_cleared_since(&self, set: &str, seen: u64) -> Result<bool, Fault> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(set).arg(-1).arg(-1).arg("WITHSCORES");
        let said = self.redis.run(set.as_bytes(), &command).await?;
        let is_same = matches!(&said, Value::Array(last)
            if matches!(&last[..], [_, Value::BulkString(at)] if *at == seen.to_string().as_bytes()));
        Ok(!is_same)
    }

    /// What this set says was cleared since `seen`, or if that is negative in the last so many microseconds, and when the name
    /// was, which is cleared now if so asked.
    ///
    /// # Errors
    /// As [`Redis::run`]; if something else than such a set is there, which stays.
    pub async fn cleared(&self, set: &str, seen: i64, name: &str, clears: bool) -> Result<History, Fault> {
        // Who asks for one name is told of that alone.
        let most = if clears || name.is_empty() { TOLD_AT_ONCE } else { 0 };
        let (seen, most, clears) = (seen.to_string(), most.to_string(), if clears { "1" } else { "" });
        let told = [seen.as_bytes(), name.as_bytes(), clears.as_bytes(), most.as_bytes()];
        let said = CLEARED.run(&self.redis, &[set], &told).await?;
        History::read(said).ok_or_else(|| Fault::refused(format!("{set} was not told of as it should be")))
    }

    /// Keeps a value, and ends the lease of its question.
    ///
    /// # Errors
    /// As [`Redis::run`]; the lease then ends by itself, if it was not ended.
    pub async fn keep(&self, keeping: Keeping<'_>) -> Result<Kept, Fault> {
        let Keeping { key, value, ttl_ms, asked_ms, now_ms, lease, token } = keeping;
        let [ttl, asked, now] = [ttl_ms.clamp(1, LONGEST_MS), asked_ms, now_ms].map(|number| number.to_string());
        let told = [value, ttl.as_bytes(), asked.as_bytes(), now.as_bytes(), token.as_bytes()];
        match KEEP.run(&self.redis, &[key, lease], &told).await? {
            Value::Int(1) => Ok(Kept::Yes),
            Value::Int(0) => Ok(Kept::Overtaken),
            _ => Ok(Kept::Foreign),
        }
    }

    /// Looks for an answer, and takes the lease of its question, of the same slot, if nobody has it.
    ///
    /// # Errors
    /// As [`Redis::run`]; nobody knows then whether it was taken.
    pub async fn turn(&self, key: &str, lease: &str, token: &str, length: Duration) -> Result<Turn, Fault> {
        let length = length.as_millis().to_string();
        let told = [token.as_bytes(), length.as_bytes()];
        let Value::Array(parts) = TURN.run(&self.redis, &[key, lease], &told).await? else { return Ok(Turn::Unfit) };
        let mut parts = parts.into_iter().map(|part| match part {
            Value::BulkString(text) => Bytes::from(text),
            _ => Bytes::new(),
        });
        let (what, with) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Ok(match &*what {
            b"answer" => Turn::Answer(with),
            b"taken" => Turn::Taken,
            b"held" => Turn::Held(with),
            _ => Turn::Unfit,
        })
    }

    /// Reads what is under a key, and watches it from then on.
    ///
    /// # Errors
    /// As [`Redis::run`]; and if the server cannot say when something changes.
    pub async fn watch(&self, key: &str) -> Result<Watch, Fault> {
        self.watches.watch(key).await
    }

    /// To be said now and then: what was used to watch is let go of if nothing is watched any more.
    pub fn rest(&self) {
        self.watches.rest();
    }

    /// Makes a lease last so long from now on; whether it was still there.
    ///
    /// # Errors
    /// As [`Redis::run`].
    pub async fn renew(&self, lease: &str, token: &str, length: Duration) -> Result<bool, Fault> {
        let length = length.as_millis().to_string();
        let told = [token.as_bytes(), length.as_bytes(), b""];
        Ok(LEASE.run(&self.redis, &[lease], &told).await? == Value::Int(1))
    }

    /// Ends a lease, if it is still there. With a note, that stands in its place for two seconds, for those who wait.
    ///
    /// # Errors
    /// As [`Redis::run`].
    pub async fn release(&self, lease: &str, token: &str, note: &str) -> Result<(), Fault> {
        LEASE.run(&self.redis, &[lease], &[token.as_bytes(), b"0", note.as_bytes()]).await.map(drop)
    }
}
