//! Finds the master that Sentinels know by a name.

use std::sync::Arc;

use redis::Value;

use super::address::{Credentials, Endpoint};
use super::connection::{Connection, Settings};
use super::fault::Fault;

/// Connects to whatever is the master of this name now: the first of these Sentinels that knows is believed, if who it names
/// says the same of itself.
///
/// # Errors
/// If none of them knows, or the master cannot be reached.
pub(super) async fn connect_to_master(
    sentinels: Arc<[Endpoint]>,
    master: Arc<str>,
    credentials: Credentials,
    settings: Settings,
) -> Result<Connection, Fault> {
    let asked = Settings { credentials, database: 0, ..settings.clone() };
    let mut last = Fault::away("no Sentinel is named");
    for sentinel in &*sentinels {
        let found = async {
            let endpoint = ask(sentinel, &master, &asked).await?;
            let connection = Connection::open(&endpoint, &settings).await?;
            check(&connection).await?;
            Ok(connection)
        };
        match found.await {
            Ok(connection) => return Ok(connection),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

async fn ask(sentinel: &Endpoint, master: &str, settings: &Settings) -> Result<Endpoint, Fault> {
    let connection = Connection::open(sentinel, settings).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let address: Option<(String, String)> = redis::from_redis_value(connection.run(&command).await?)
        .map_err(|error| Fault::refused(format!("{sentinel}: {error}")))?;
    let unknown = || Fault::refused(format!("{sentinel} knows no master \"{master}\""));
    let (host, port) = address.ok_or_else(unknown)?;
    Ok(Endpoint { host, port: port.parse().map_err(|_| unknown())? })
}

/// A master that was demoted a moment ago is one to some Sentinel still.
async fn check(connection: &Connection) -> Result<(), Fault> {
    let role = connection.run(&redis::cmd("ROLE")).await?;
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
