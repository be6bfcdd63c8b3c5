//! Finds the master that Sentinels know by a name.

use std::sync::Arc;

use redis::Value;
use tokio::time::Instant;

use super::address::{Credentials, Endpoint};
use super::connection::{Connection, Settings};
use super::fault::Fault;
use super::first::first_of;

/// Connects to whatever is the master of this name now: the first of these Sentinels that knows is believed, if who it names
/// says the same of itself.
///
/// # Errors
/// If none of them knows, or the master cannot be reached by then.
pub(super) async fn connect_to_master(
    sentinels: Arc<[Endpoint]>,
    master: Arc<str>,
    credentials: Credentials,
    settings: Settings,
    deadline: Instant,
) -> Result<Connection, Fault> {
    let asked = Settings { credentials, database: 0, watchers: None, ..settings.clone() };
    let tries = sentinels.iter().map(|sentinel| async {
        let endpoint = ask(sentinel, &master, &asked, deadline).await?;
        let connection = Connection::open(&endpoint, &settings, deadline).await?;
        check(&connection, deadline).await?;
        Ok(connection)
    });
    first_of(tries.collect(), "no Sentinel is named").await
}

async fn ask(sentinel: &Endpoint, master: &str, settings: &Settings, deadline: Instant) -> Result<Endpoint, Fault> {
    let connection = Connection::open(sentinel, settings, deadline).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let address: Option<(String, String)> = redis::from_redis_value(connection.run_until(&command, deadline).await?)
        .map_err(|error| Fault::refused(format!("{sentinel}: {error}")))?;
    let unknown = || Fault::refused(format!("{sentinel} knows no master \"{master}\""));
    let (host, port) = address.ok_or_else(unknown)?;
    Ok(Endpoint { host, port: port.parse().map_err(|_| unknown())? })
}

/// A master that was demoted a moment ago is one to some Sentinel still.
async fn check(connection: &Connection, deadline: Instant) -> Result<(), Fault> {
    let role = connection.run_until(&redis::cmd("ROLE"), deadline).await?;
    let is_master = match &role {
        Value::Array(parts) => parts.first().is_some_and(|role| match role {
            Value::BulkString(text) => text == b"master",
            Value::SimpleString(text) => text == "master",
            _ => false,
        }),
        _ => false,
    };
    if is_master { Ok(()) } else { Err(Fault::refused(format!("{} is no master", connection.endpoint()))) }
}

#[cfg(test)]
mod tests;
