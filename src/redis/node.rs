//! One server, and whether it can be asked: connected when it is first needed, given up when it fails, and found again by itself.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::address::Endpoint;
use super::connection::{CONNECT_WITHIN, Connection, Identity, Settings};
use super::fault::{Fault, FaultKind};

/// How long nobody tries to connect after a failure, doubled with each further one: whoever is back is found within a second.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The same for one that takes connections and then answers too late: it may be busy, and a connection costs it more than a command.
/// When it answers in time again that is known within two seconds: after this and its spread, and the half second at most until limits
/// ask again.
const LONGEST_PAUSE_OF_LATE: Duration = Duration::from_millis(1100);

/// A connection that ends sooner than this was not closed for being idle. Whoever hangs up on everyone is not to be tried without a pause.
const IDLE_AFTER: Duration = Duration::from_millis(500);

/// That it was away says nothing any more when nobody has needed it for so long since it could have been tried again; whoever waits for it
/// to come back asks more often.
const STALE_AFTER: Duration = Duration::from_secs(10);

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
    /// Nobody has needed it; or nobody did when its connection ended, as this says.
    Idle(Option<Fault>),
    /// Somebody needs it, and waits.
    Connecting,
    Up(Arc<Open>),
    Down {
        fault: Fault,
        /// When it is tried again, if anybody needs it.
        again: Instant,
        pause: Duration,
        /// Somebody tries, or will then.
        is_trying: bool,
    },
}

/// A connection, and what goes over it.
struct Open {
    connection: Connection,
    since: Instant,
    /// The pause before it was made.
    pause: Duration,
    /// Whether any command was answered in time.
    has_answered: AtomicBool,
    /// Commands that were begun and have not ended.
    under_way: AtomicUsize,
}

/// A command that is under way over a connection.
struct Use(Arc<Open>);

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
        Self { name: name.into(), connect, state: Arc::new(watch::Sender::new(State::Idle(None))) }
    }

    /// Runs a command, within its timeout and until then at the latest.
    ///
    /// # Errors
    /// At once while it is away; otherwise as [`Connection::run`].
    pub async fn run(&self, command: &Cmd, is_asking: bool, deadline: Instant) -> Result<Value, Fault> {
        let begun = Instant::now();
        let open = match timeout_at(deadline, self.connection()).await {
            Ok(open) => open?,
            Err(_) => return Err(Fault::slow(&self.name, deadline.saturating_duration_since(begun))),
        };
        let connection = &open.0.connection;
        let answer = if is_asking {
            connection.run_asking(command, deadline).await
        } else {
            connection.run(command, deadline).await
        };
        match &answer {
            Err(fault) if fault.ends_connection() => {
                lose(&self.state, &connection.identity(), |open| open.lost(fault.clone(), Instant::now()));
            }
            _ => open.0.has_answered.store(true, Ordering::Relaxed),
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

    /// Why there is no connection: as soon as it is away, or a connection that there is now has ended. Never where nobody has needed
    /// one.
    pub async fn lost(&self) -> Fault {
        let mut state = self.state.subscribe();
        let mut first = None;
        loop {
            match &*state.borrow_and_update() {
                State::Down { fault, .. } | State::Idle(Some(fault)) => return fault.clone(),
                State::Up(open) => {
                    let (now, before) = (open.connection.identity(), first.take());
                    if before.is_some_and(|before| before != now) {
                        return closed(&self.name);
                    }
                    first = Some(now);
                }
                State::Connecting if first.is_some() => return closed(&self.name),
                State::Idle(None) | State::Connecting => {}
            }
            if state.changed().await.is_err() {
                return Fault::away("the connection is gone");
            }
        }
    }

    /// The connection, for one command. Whoever is first waits for it, as do those who come meanwhile, also where it was closed or away
    /// while nobody needed it; once it was lost nobody waits.
    async fn connection(&self) -> Result<Use, Fault> {
        if let State::Up(open) = &*self.state.borrow() {
            return Ok(Use::of(open));
        }
        self.try_again();
        let mut state = self.state.subscribe();
        // The sender is ours, so it does not end before.
        let state = state.wait_for(|state| !matches!(state, State::Idle(_) | State::Connecting)).await;
        match state.as_deref() {
            Ok(State::Up(open)) => Ok(Use::of(open)),
            Ok(State::Down { fault, .. }) => Err(fault.clone()),
            _ => Err(Fault::away("the connection is gone")),
        }
    }

    /// Begins to connect, as soon as it is time to. By a task of its own, which nobody who loses patience takes along.
    fn try_again(&self) {
        let (mut next, now) = (None, Instant::now());
        self.state.send_if_modified(|state| {
            let is_stale = |again: Instant| now >= again + STALE_AFTER;
            next = match state {
                State::Idle(_) => {
                    *state = State::Connecting;
                    Some((now, Duration::ZERO))
                }
                State::Down { again, is_trying: false, .. } if is_stale(*again) => {
                    *state = State::Connecting;
                    Some((now, Duration::ZERO))
                }
                State::Down { again, is_trying: is_trying @ false, pause, .. } => {
                    *is_trying = true;
                    Some((*again, *pause))
                }
                _ => None,
            };
            next.is_some()
        });
        let Some((begun, pause)) = next else { return };
        let (connect, name) = (Arc::clone(&self.connect), Arc::clone(&self.name));
        let fault = Fault::away(format!("{name}: connecting was given up"));
        // Whoever has no use for the server any more need not wait for the end of the connection.
        let mut task = Task { state: Arc::downgrade(&self.state), begun, pause, connection: None, fault };
        tokio::spawn(async move {
            sleep_until(begun).await;
            if task.state.strong_count() == 0 {
                return;
            }
            task.begun = Instant::now();
            let deadline = task.begun + CONNECT_WITHIN;
            let connected = timeout_at(deadline, connect(deadline)).await;
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
    pause: Duration,
    connection: Option<Identity>,
    /// What it is if it ends now.
    fault: Fault,
}

impl Task {
    fn failed(mut self, fault: Fault) {
        self.fault = fault;
    }

    fn has(&mut self, connection: Connection) {
        (self.connection, self.fault) = (Some(connection.identity()), closed(connection.endpoint()));
        if let Some(state) = self.state.upgrade() {
            let (has_answered, under_way) = (AtomicBool::new(false), AtomicUsize::new(0));
            let open = Open { connection, since: Instant::now(), pause: self.pause, has_answered, under_way };
            state.send_replace(State::Up(Arc::new(open)));
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let Some(state) = self.state.upgrade() else { return };
        let (fault, now) = (self.fault.clone(), Instant::now());
        match &self.connection {
            Some(connection) => lose(&state, connection, |open| {
                if open.is_idle(now) { State::Idle(Some(fault)) } else { open.lost(fault, now) }
            }),
            None => drop(state.send_replace(down(fault, self.pause * 2, LONGEST_PAUSE, self.begun))),
        }
    }
}

impl Open {
    /// Whether whoever closes it now may do so because nobody needs it, as servers, NATs and balancers do.
    fn is_idle(&self, now: Instant) -> bool {
        self.under_way.load(Ordering::SeqCst) == 0 && now >= self.since + IDLE_AFTER
    }

    /// What comes of it when it is of no more use. One over which nothing was answered in time was as good as a try that failed.
    fn lost(&self, fault: Fault, now: Instant) -> State {
        let pause = if self.has_answered.load(Ordering::Relaxed) { FIRST_PAUSE } else { self.pause * 2 };
        let longest = if fault.kind == FaultKind::Slow { LONGEST_PAUSE_OF_LATE } else { LONGEST_PAUSE };
        down(fault, pause, longest, now)
    }
}

impl Use {
    /// Begun while nobody changes the state, so that whoever finds the connection closed knows of it.
    fn of(open: &Arc<Open>) -> Self {
        open.under_way.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// This connection is of no more use: that makes it this.
fn lose(state: &watch::Sender<State>, connection: &Identity, next: impl FnOnce(&Open) -> State) {
    state.send_if_modified(|state| {
        let State::Up(open) = state else { return false };
        let is_current = open.connection.identity() == *connection;
        if is_current {
            let next = next(open);
            *state = next;
        }
        is_current
    });
}

fn closed(who: impl Display) -> Fault {
    Fault::away(format!("{who}: the connection was closed"))
}

/// Away from now on, after a try that was begun then, for about so long.
fn down(fault: Fault, pause: Duration, longest: Duration, begun: Instant) -> State {
    let pause = pause.clamp(FIRST_PAUSE, longest);
    // Not all processes at once. A try that took long was a pause itself.
    let spread = fastrand::f64() * 0.5 + 0.75;
    let again = (begun + pause.mul_f64(spread)).max(Instant::now() + FIRST_PAUSE.mul_f64(spread));
    State::Down { fault, again, pause, is_trying: false }
}

#[cfg(test)]
mod tests;
