//! What processes and machines share: a Redis or Valkey server, one behind Sentinels, or a Cluster. The only folder that names the
//! crate `redis`, of which the protocol alone is used.
//!
//! A [`Redis`] is a handle that opens nothing until it is first asked. A command is of one key, takes no longer than the options
//! say, and fails at once while the server is away; whoever asks decides what is done without it. Connections come back by
//! themselves.

mod address;
mod cluster;
mod connection;
#[cfg(test)]
mod fake;
mod fault;
mod first;
pub mod limits;
mod node;
mod options;
mod say;
mod script;
mod sentinel;
mod values;
mod voice;
mod watches;

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use redis::{Cmd, Value};
use tokio::time::Instant;

pub use address::Address;
pub use fault::{Fault, FaultKind};
pub use options::RedisOptions;
#[cfg(test)]
pub(crate) use say::hearing;
pub(crate) use say::say;
pub(crate) use values::{Found, Keeping, Kept, Turn, Values};
pub(crate) use voice::{Choir, Voice};

use address::Layout;
use cluster::Cluster;
use connection::{CONNECT_WITHIN, Settings};
use node::{Connect, Node};
use sentinel::connect_to_master;
use watches::Watchers;

/// The handles of this process, by what they are for and their options.
static SHARED: Mutex<Vec<(Purpose, RedisOptions, Weak<Routes>)>> = Mutex::new(Vec::new());

/// What connections are for: one does not hold up the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Limits,
    Values,
}

/// A name that no other process has, of sixteen hexadecimal digits: from what the operating system takes for random, as clocks of processes
/// that are begun together may agree.
pub(crate) fn unique_name() -> String {
    format!("{:016x}", RandomState::new().hash_one(()))
}

/// A Redis. Clones, and all that are [shared](Redis::shared) with the same options, use the same connections, but for a cache, which
/// has its own.
#[derive(Clone)]
pub struct Redis {
    options: RedisOptions,
    routes: Arc<Routes>,
}

/// Which server has a key.
enum Routes {
    One(Node),
    Many(Box<Cluster>),
}

impl Redis {
    /// The handle of this process for these options. Opens nothing.
    #[must_use]
    pub fn shared(options: RedisOptions) -> Self {
        Self::shared_by(Purpose::Limits, options)
    }

    fn shared_by(purpose: Purpose, options: RedisOptions) -> Self {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|(_, _, routes)| routes.strong_count() > 0);
        let known = shared.iter().find(|(known, of, _)| (*known, of) == (purpose, &options));
        let known = known.and_then(|(_, _, routes)| routes.upgrade());
        let routes = known.unwrap_or_else(|| {
            let routes = Arc::new(Routes::of(&options, None));
            shared.push((purpose, options.clone(), Arc::downgrade(&routes)));
            routes
        });
        Self { options, routes }
    }

    /// One of its own, over whose connections is heard what was read and then changes.
    fn watching(options: RedisOptions, watchers: Watchers) -> Self {
        let routes = Arc::new(Routes::of(&options, Some(watchers)));
        Self { options, routes }
    }

    /// What it was made with.
    #[must_use]
    pub fn options(&self) -> &RedisOptions {
        &self.options
    }

    /// Why a server is away, if one is.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match &*self.routes {
            Routes::One(node) => node.fault(),
            Routes::Many(cluster) => cluster.fault(),
        }
    }

    /// Whether it is one server.
    fn is_one(&self) -> bool {
        matches!(&*self.routes, Routes::One(_))
    }

    /// Asks whether it is there. Needs a Tokio runtime.
    ///
    /// # Errors
    /// If it is not.
    pub async fn ping(&self) -> Result<(), Fault> {
        self.run(b"", &redis::cmd("PING")).await.map(drop)
    }

    /// Runs a command of this key. Needs a Tokio runtime. Takes no longer than its timeout, or than a second where whoever has
    /// the key was not asked anything before.
    ///
    /// # Errors
    /// At once while the server is away; if it refuses, or does not answer in time.
    pub(crate) async fn run(&self, key: &[u8], command: &Cmd) -> Result<Value, Fault> {
        let deadline = Instant::now() + self.options.timeout.max(CONNECT_WITHIN);
        match &*self.routes {
            Routes::One(node) => node.run(command, false, deadline).await.map_err(|fault| self.explained(fault)),
            Routes::Many(cluster) => cluster.run(key, command, deadline).await,
        }
    }

    /// One server that sends elsewhere is not alone.
    fn explained(&self, fault: Fault) -> Fault {
        match fault.kind {
            FaultKind::Moved { .. } => {
                let address = &self.options.address;
                Fault::refused(format!("{address} is of a Cluster, whose URL begins with redis+cluster:// ({fault})"))
            }
            _ => fault,
        }
    }

    /// Why the server that has this key is away, if it is.
    fn fault_of(&self, key: &[u8]) -> Option<Fault> {
        match &*self.routes {
            Routes::One(node) => node.fault(),
            Routes::Many(cluster) => cluster.fault_of(key),
        }
    }

    /// Why there is no connection to the server that has this key: as soon as there is none, also where nobody asks it anything. It
    /// need not be away for that. Never, as long as it is there, or was not needed yet.
    pub(crate) async fn lost(&self, key: &[u8]) -> Fault {
        match &*self.routes {
            Routes::One(node) => node.lost().await,
            Routes::Many(cluster) => cluster.lost(key).await,
        }
    }
}

impl Routes {
    fn of(options: &RedisOptions, watchers: Option<Watchers>) -> Self {
        let name = options.address.to_string();
        let Address { layout, is_secure, credentials, database } = options.address.clone();
        let settings = Settings { is_secure, credentials, database, timeout: options.timeout, watchers };
        match layout {
            Layout::Server(endpoint) => Self::One(Node::at(endpoint, settings)),
            Layout::Sentinels { sentinels, master, credentials } => {
                let (sentinels, master): (Arc<[_]>, Arc<str>) = (sentinels.into(), master.into());
                let connect: Connect = Arc::new(move |deadline| {
                    let (sentinels, master) = (Arc::clone(&sentinels), Arc::clone(&master));
                    Box::pin(connect_to_master(sentinels, master, credentials.clone(), settings.clone(), deadline))
                });
                Self::One(Node::new(&name, connect))
            }
            Layout::Cluster(seeds) => Self::Many(Box::new(Cluster::new(seeds, settings))),
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({})", self.options.address)
    }
}
