//! One server, and whether it can be asked: connected when it is first needed, given up when it fails, and found again by itself.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::address::Endpoint;
use super::connection::{CONNECT_WITHIN, Connection, Identity, Settings};
use super::fault::Fault;

/// How long nobody tries to connect after a failure, doubled with each further one: whoever is back is found within a second.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Makes a connection to it, until then at the latest.
pub(super) type Connect = Arc<dyn Fn(Instant) -> BoxFuture<'static, Result<Connection, Fault>> + Send + Sync>;

/// See the module.
pub(super) struct Node {
    /// What messages call it.
    name: Arc<str>,
    connect: Connect,
    state: Arc<watch::Sender<State>>,
}

enum State {
    /// Nobody has needed it.
    Idle,
    /// Somebody needs it for the first time.
    Connecting,
    Up(Connection),
    Down {
        fault: Fault,
        /// When it is tried again.
        again: Instant,
        pause: Duration,
        is_trying: bool,
    },
}

impl Node {
    /// The server there.
    pub fn at(endpoint: Endpoint, settings: Settings) -> Self {
        let name = endpoint.to_string();
        Self::new(
            &name,
            Arc::new(move |deadline| {
                let (endpoint, settings) = (endpoint.clone(), settings.clone());
                Box::pin(async move { Connection::open(&endpoint, &settings, deadline).await })
            }),
        )
    }

    /// Whoever is connected to by this.
    pub fn new(name: &str, connect: Connect) -> Self {
        Self { name: name.into(), connect, state: Arc::new(watch::Sender::new(State::Idle)) }
    }

    /// Runs a command, within its timeout and until then at the latest.
    ///
    /// # Errors
    /// At once while it is away; otherwise as [`Connection::run`].
    pub async fn run(&self, command: &Cmd, is_asking: bool, deadline: Instant) -> Result<Value, Fault> {
        let begun = Instant::now();
        let connection = match timeout_at(deadline, self.connection()).await {
            Ok(connection) => connection?,
            Err(_) => return Err(Fault::slow(&self.name, deadline.saturating_duration_since(begun))),
        };
        let answer = if is_asking {
            connection.run_asking(command, deadline).await
        } else {
            connection.run(command, deadline).await
        };
        if let Err(fault) = &answer
            && fault.ends_connection()
        {
            lose(&self.state, &connection.identity(), fault);
        }
        answer
    }

    /// Why it is away, if it is.
    pub fn fault(&self) -> Option<Fault> {
        match &*self.state.borrow() {
            State::Down { fault, .. } => Some(fault.clone()),
            _ => None,
        }
    }

    /// Why it is away: as soon as it is, or a connection that there is now has ended. As long as nobody needs it, never.
    pub async fn lost(&self) -> Fault {
        let mut state = self.state.subscribe();
        let mut first = None;
        loop {
            match &*state.borrow_and_update() {
                State::Down { fault, .. } => return fault.clone(),
                State::Up(connection) => {
                    let (now, before) = (connection.identity(), first.take());
                    if before.is_some_and(|before| before != now) {
                        return closed(connection);
                    }
                    first = Some(now);
                }
                State::Idle | State::Connecting => {}
            }
            if state.changed().await.is_err() {
                return Fault::away("the connection is gone");
            }
        }
    }

    /// The connection. Whoever is first waits for it, as do those who come meanwhile; once it was lost nobody waits.
    async fn connection(&self) -> Result<Connection, Fault> {
        if let State::Up(connection) = &*self.state.borrow() {
            return Ok(connection.clone());
        }
        self.try_again();
        let mut state = self.state.subscribe();
        // The sender is ours, so it does not end before.
        let state = state.wait_for(|state| !matches!(state, State::Idle | State::Connecting)).await;
        match state.as_deref() {
            Ok(State::Up(connection)) => Ok(connection.clone()),
            Ok(State::Down { fault, .. }) => Err(fault.clone()),
            _ => Err(Fault::away("the connection is gone")),
        }
    }

    /// Begins to connect, if it is time to. By a task of its own, which nobody who loses patience takes along.
    fn try_again(&self) {
        let mut before = None;
        self.state.send_if_modified(|state| {
            before = match state {
                State::Idle => {
                    *state = State::Connecting;
                    Some(Duration::ZERO)
                }
                State::Down { again, is_trying: is_trying @ false, pause, .. } if *again <= Instant::now() => {
                    *is_trying = true;
                    Some(*pause)
                }
                _ => None,
            };
            before.is_some()
        });
        let Some(before) = before else { return };
        let (begun, fault) = (Instant::now(), Fault::away(format!("{}: connecting was given up", self.name)));
        let (deadline, name) = (begun + CONNECT_WITHIN, Arc::clone(&self.name));
        let connecting = (self.connect)(deadline);
        // Whoever has no use for the server any more need not wait for the end of the connection.
        let mut task = Task { state: Arc::downgrade(&self.state), begun, before, connection: None, fault };
        tokio::spawn(async move {
            let connected = timeout_at(deadline, connecting).await;
            match connected.unwrap_or_else(|_| Err(Fault::slow(&name, CONNECT_WITHIN))) {
                Ok(connection) => {
                    let end = connection.end();
                    task.has(connection);
                    end.await;
                }
                Err(fault) => task.failed(fault),
            }
        });
    }
}

/// The task that connects, then waits for the end of the connection. However it ends itself, nobody waits for it any more.
struct Task {
    state: Weak<watch::Sender<State>>,
    begun: Instant,
    /// The pause before.
    before: Duration,
    connection: Option<Identity>,
    /// What it is if it ends now.
    fault: Fault,
}

impl Task {
    fn failed(mut self, fault: Fault) {
        self.fault = fault;
    }

    fn has(&mut self, connection: Connection) {
        (self.connection, self.fault) = (Some(connection.identity()), closed(&connection));
        if let Some(state) = self.state.upgrade() {
            state.send_replace(State::Up(connection));
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let Some(state) = self.state.upgrade() else { return };
        match &self.connection {
            Some(connection) => lose(&state, connection, &self.fault),
            None => drop(state.send_replace(down(self.fault.clone(), self.before, self.begun))),
        }
    }
}

/// This connection is of no more use.
fn lose(state: &watch::Sender<State>, connection: &Identity, fault: &Fault) {
    state.send_if_modified(|state| {
        let is_current = matches!(state, State::Up(current) if current.identity() == *connection);
        if is_current {
            *state = down(fault.clone(), Duration::ZERO, Instant::now());
        }
        is_current
    });
}

fn closed(connection: &Connection) -> Fault {
    Fault::away(format!("{}: the connection was closed", connection.endpoint()))
}

/// Away from now on, after a try that was begun then.
fn down(fault: Fault, before: Duration, begun: Instant) -> State {
    let pause = (before * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    // Not all processes at once. A try that took long was a pause itself.
    let spread = fastrand::f64() * 0.5 + 0.75;
    let again = (begun + pause.mul_f64(spread)).max(Instant::now() + FIRST_PAUSE.mul_f64(spread));
    State::Down { fault, again, pause, is_trying: false }
}

#[cfg(test)]
mod tests;
