//! One server, and whether it can be asked: connected when it is first needed, given up when it fails, and found again by itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use super::address::Endpoint;
use super::connection::{Connection, Identity, Settings};
use super::fault::Fault;

/// How long nobody tries to connect after a failure, doubled with each further one: whoever is back is found within a second.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Makes a connection to it.
pub(super) type Connect = Arc<dyn Fn() -> BoxFuture<'static, Result<Connection, Fault>> + Send + Sync>;

/// See the module.
pub(super) struct Node {
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
        Self::new(Arc::new(move || {
            let (endpoint, settings) = (endpoint.clone(), settings.clone());
            Box::pin(async move { Connection::open(&endpoint, &settings).await })
        }))
    }

    /// Whoever is connected to by this.
    pub fn new(connect: Connect) -> Self {
        Self { connect, state: Arc::new(watch::Sender::new(State::Idle)) }
    }

    /// Runs a command.
    ///
    /// # Errors
    /// At once while it is away; otherwise as [`Connection::run`].
    pub async fn run(&self, command: &Cmd, is_asking: bool) -> Result<Value, Fault> {
        let connection = self.connection().await?;
        let answer = if is_asking { connection.run_asking(command).await } else { connection.run(command).await };
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
        let (connecting, sender) = ((self.connect)(), Arc::clone(&self.state));
        tokio::spawn(async move {
            let connection = match connecting.await {
                Ok(connection) => connection,
                Err(fault) => {
                    sender.send_replace(down(fault, before));
                    return;
                }
            };
            let (end, identity, fault) = (connection.end(), connection.identity(), closed(&connection));
            sender.send_replace(State::Up(connection));
            // Whoever has no use for the server any more need not wait for its end.
            let sender = {
                let weak = Arc::downgrade(&sender);
                drop(sender);
                weak
            };
            end.await;
            if let Some(sender) = sender.upgrade() {
                lose(&sender, &identity, &fault);
            }
        });
    }
}

/// This connection is of no more use.
fn lose(state: &watch::Sender<State>, connection: &Identity, fault: &Fault) {
    state.send_if_modified(|state| {
        let is_current = matches!(state, State::Up(current) if current.identity() == *connection);
        if is_current {
            *state = down(fault.clone(), Duration::ZERO);
        }
        is_current
    });
}

fn closed(connection: &Connection) -> Fault {
    Fault::away(format!("{}: the connection was closed", connection.endpoint()))
}

fn down(fault: Fault, before: Duration) -> State {
    let pause = (before * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    // Not all processes at once.
    let again = Instant::now() + pause.mul_f64(fastrand::f64() * 0.5 + 0.75);
    State::Down { fault, again, pause, is_trying: false }
}

#[cfg(test)]
mod tests;
