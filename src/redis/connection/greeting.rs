//! The first words: who asks, for which database, and whether the server is one that can be used.

use futures_util::future::join_all;
use redis::{Cmd, ProtocolVersion, RedisConnectionInfo, Value};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::Connection;
use crate::redis::address::Credentials;
use crate::redis::fault::Fault;

/// The oldest version that runs the scripts: older ones refuse to write after the time was asked for.
const OLDEST: u32 = 5;

impl Connection {
    /// Says who it is, all in one breath.
    ///
    /// # Errors
    /// If it is not accepted, the server cannot be asked now, or is too old.
    pub(super) async fn greet(&self, database: u32, deadline: Instant) -> Result<(), Fault> {
        let said = self.say(database, true, deadline).await;
        match said {
            // Without users, before version 6, `AUTH` takes a password alone.
            Err(fault)
                if self.credentials.username.is_some() && fault.message.contains("wrong number of arguments") =>
            {
                self.say(database, false, deadline).await
            }
            said => said,
        }
    }

    async fn say(&self, database: u32, with_username: bool, deadline: Instant) -> Result<(), Fault> {
        let mut needed = Vec::with_capacity(3);
        if let Some(password) = &self.credentials.password {
            let mut command = redis::cmd("AUTH");
            command.arg(self.credentials.username.as_ref().filter(|_| with_username)).arg(password.expose_secret());
            needed.push(command);
        }
        if database != 0 {
            needed.push(of("SELECT", &[&database.to_string()]));
        }
        // Is refused where nothing else is: by one that loads its data, or wants a password.
        needed.push(of("PING", &[]));
        let count = needed.len();
        // Whoever may not say these may still do all that is needed.
        let welcome = [
            of("INFO", &["server"]),
            of("CLIENT", &["SETINFO", "LIB-NAME", "thryd"]),
            of("CLIENT", &["SETINFO", "LIB-VER", env!("CARGO_PKG_VERSION")]),
        ];
        needed.extend(welcome);
        let mut answers = join_all(needed.iter().map(|command| self.run_until(command, deadline))).await.into_iter();
        for answer in answers.by_ref().take(count) {
            answer?;
        }
        match answers.next() {
            Some(Ok(info)) => self.check_version(&info),
            _ => Ok(()),
        }
    }

    fn check_version(&self, info: &Value) -> Result<(), Fault> {
        let text = match info {
            Value::BulkString(text) => String::from_utf8_lossy(text),
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.into(),
            _ => return Ok(()),
        };
        let version = text.lines().find_map(|line| line.strip_prefix("redis_version:"));
        let major = |version: &str| version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        match version.and_then(|version| Some((version.trim(), major(version)?))) {
            Some((version, major)) if major < OLDEST => {
                let endpoint = self.endpoint();
                Err(Fault::refused(format!("{endpoint} is Redis {version}: {OLDEST} or newer is needed, or Valkey")))
            }
            _ => Ok(()),
        }
    }
}

/// RESP3 is asked for by the client library, along with who asks.
pub(super) fn in_resp3(mut info: RedisConnectionInfo, credentials: &Credentials) -> RedisConnectionInfo {
    if let Some(username) = &credentials.username {
        info = info.set_username(username);
    }
    if let Some(password) = &credentials.password {
        info = info.set_password(password.expose_secret());
    }
    info.set_protocol(ProtocolVersion::RESP3)
}

fn of(name: &str, arguments: &[&str]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(arguments);
    command
}
