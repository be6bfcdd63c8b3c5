//! Which node of a Cluster has which key.
//!
//! Each command is of one key, so a table of slots and the two redirections that nodes answer with are all that is needed. The
//! table is asked for when it is first needed and when a node said, by a redirection or by silence, that it is old.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::address::Endpoint;
use super::connection::Settings;
use super::fault::{Fault, FaultKind};
use super::first::first_of;
use super::node::Node;

/// Slots of a Cluster, by its specification.
const SLOTS: u16 = 16384;

/// How often a command is redirected, at most.
const REDIRECTIONS: u32 = 3;

/// The table is not asked for more often than this.
const REFRESH_AFTER: Duration = Duration::from_millis(250);

/// First slot, last slot, who has them.
type Range = (u16, u16, Endpoint);

/// See the module.
pub(super) struct Cluster {
    seeds: Vec<Endpoint>,
    settings: Settings,
    state: Mutex<State>,
    /// Held by whoever asks for the table.
    refreshing: tokio::sync::Mutex<()>,
    /// Told whenever another node may have a slot.
    changes: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    ranges: Vec<Range>,
    nodes: Vec<(Endpoint, Arc<Node>)>,
    asked: Option<Instant>,
    is_stale: bool,
}

impl Cluster {
    pub fn new(seeds: Vec<Endpoint>, settings: Settings) -> Self {
        Self {
            seeds,
            settings,
            state: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            changes: watch::Sender::new(()),
        }
    }

    /// Runs a command of this key on the node that has it, until then at the latest.
    ///
    /// # Errors
    /// If nobody has it, or whoever has it is away.
    pub async fn run(&self, key: &[u8], command: &Cmd, deadline: Instant) -> Result<Value, Fault> {
        let slot = slot(key);
        self.refresh_if_due(slot, deadline).await?;
        let mut next = self.lock().owner(slot).map(|owner| (owner, false));
        for _ in 0..REDIRECTIONS {
            let Some((endpoint, is_asking)) = next.take() else {
                self.lock().is_stale = true;
                return Err(Fault::away(format!("no node of the Cluster has slot {slot}")));
            };
            let answer = self.node(&endpoint).run(command, is_asking, deadline).await;
            match answer {
                Err(Fault { kind: FaultKind::Moved { to, ask }, .. }) => {
                    let to = Endpoint::redirected(&to, &endpoint.host);
                    if let Some(to) = to.as_ref().filter(|_| !ask) {
                        self.lock().moved(slot, to);
                        self.changes.send_replace(());
                    }
                    next = to.map(|to| (to, ask));
                }
                Err(fault) => {
                    // It may have died, and another have taken its slots.
                    self.lock().is_stale |= fault.is_of_old_table();
                    return Err(fault);
                }
                answer => return answer,
            }
        }
        Err(Fault::refused(format!("slot {slot} is sent from node to node")))
    }

    /// Why a node is away, if one is.
    pub fn fault(&self) -> Option<Fault> {
        self.lock().nodes.iter().find_map(|(_, node)| node.fault())
    }

    /// Why the node that has the slot of this key is away, if it is.
    pub fn fault_of(&self, key: &[u8]) -> Option<Fault> {
        let state = self.lock();
        let owner = state.owner(slot(key))?;
        state.nodes.iter().find(|(known, _)| *known == owner)?.1.fault()
    }

    /// Why there is no connection to the node that has the slot of this key, as soon as there is none.
    pub async fn lost(&self, key: &[u8]) -> Fault {
        let slot = slot(key);
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let owner = self.lock().owner(slot);
            let owner = owner.map(|owner| self.node(&owner));
            let lost = async {
                match owner {
                    Some(node) => node.lost().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                fault = lost => return fault,
                _ = changes.changed() => {}
            }
        }
    }

    async fn refresh_if_due(&self, slot: u16, deadline: Instant) -> Result<(), Fault> {
        let is_due = |state: &State| {
            let is_wanted = state.is_stale || state.owner(slot).is_none();
            is_wanted && state.asked.is_none_or(|asked| asked.elapsed() >= REFRESH_AFTER)
        };
        if !is_due(&self.lock()) {
            return Ok(());
        }
        let begun = Instant::now();
        let Ok(_one) = timeout_at(deadline, self.refreshing.lock()).await else {
            return Err(Fault::slow("the Cluster", deadline.saturating_duration_since(begun)));
        };
        if !is_due(&self.lock()) {
            return Ok(());
        }
        let mut known: Vec<Endpoint> = self.lock().ranges.iter().map(|(_, _, node)| node.clone()).collect();
        // Not all processes the same one, and not the same one again, which may be cut off from the others.
        fastrand::shuffle(&mut known);
        known.extend(self.seeds.iter().cloned());
        let mut asked: Vec<Endpoint> = Vec::new();
        for endpoint in known {
            if !asked.contains(&endpoint) {
                asked.push(endpoint);
            }
        }
        let tables = asked.iter().map(|endpoint| self.table(endpoint, deadline)).collect();
        let table = first_of(tables, "no node of the Cluster is known").await;
        let mut state = self.lock();
        // Only now: whoever lost patience before leaves it to the next.
        state.asked = Some(Instant::now());
        match table {
            Ok(ranges) => {
                state.take(ranges);
                self.changes.send_replace(());
                Ok(())
            }
            // An old table may still be right for this slot.
            Err(_) if state.owner(slot).is_some() => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Who has which slots, by the word of this node.
    async fn table(&self, endpoint: &Endpoint, deadline: Instant) -> Result<Vec<Range>, Fault> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let table = self.node(endpoint).run(&command, false, deadline).await?;
        read(table, endpoint).ok_or_else(|| Fault::refused(format!("{endpoint} gave no table of slots")))
    }

    fn node(&self, endpoint: &Endpoint) -> Arc<Node> {
        let mut state = self.lock();
        if let Some((_, node)) = state.nodes.iter().find(|(known, _)| known == endpoint) {
            return Arc::clone(node);
        }
        let node = Arc::new(Node::at(endpoint.clone(), self.settings.clone()));
        state.nodes.push((endpoint.clone(), Arc::clone(&node)));
        node
    }

    // A std mutex: nothing is awaited while it is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn owner(&self, slot: u16) -> Option<Endpoint> {
        // The last that was said of it.
        let range = self.ranges.iter().rev().find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|(_, _, owner)| owner.clone())
    }

    fn moved(&mut self, slot: u16, to: &Endpoint) {
        self.ranges.push((slot, slot, to.clone()));
        self.is_stale = true;
    }

    fn take(&mut self, ranges: Vec<Range>) {
        self.nodes.retain(|(known, _)| ranges.iter().any(|(_, _, owner)| owner == known));
        self.ranges = ranges;
        self.is_stale = false;
    }
}

/// What `CLUSTER SLOTS` answered: first slot, last slot, the master's host and port, then replicas.
fn read(table: Value, from: &Endpoint) -> Option<Vec<Range>> {
    let rows: Vec<Vec<Value>> = redis::from_redis_value(table).ok()?;
    let rows = rows.into_iter().map(|row| {
        let mut row = row.into_iter();
        let first: u16 = redis::from_redis_value(row.next()?).ok()?;
        let last: u16 = redis::from_redis_value(row.next()?).ok()?;
        let master: Vec<Value> = redis::from_redis_value(row.next()?).ok()?;
        let mut master = master.into_iter();
        let host: Option<String> = redis::from_redis_value(master.next()?).ok()?;
        let port: u16 = redis::from_redis_value(master.next()?).ok()?;
        let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| from.host.clone());
        Some((first, last, Endpoint { host, port }))
    });
    rows.collect::<Option<Vec<_>>>().filter(|rows| !rows.is_empty())
}

/// The slot of a key: CRC-16/XMODEM of what stands in its first braces, or of all of it.
fn slot(key: &[u8]) -> u16 {
    let place = |byte: u8, from: usize| key.iter().skip(from).position(|it| *it == byte).map(|at| at + from);
    let tag = place(b'{', 0).and_then(|open| Some((open + 1, place(b'}', open + 1)?)));
    let hashed = tag.filter(|(from, to)| to > from).and_then(|(from, to)| key.get(from..to)).unwrap_or(key);
    let crc = hashed.iter().fold(0u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests;
