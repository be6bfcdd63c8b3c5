//! One connection to one server: opened, made known, and used by any number of commands at a time.

mod greeting;

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::address::{Credentials, Endpoint};
use super::fault::Fault;
use super::watches::Watchers;
use crate::connections::open_stream;

/// How long it may take to connect, TLS and the first words included.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// What connections to servers are made with.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub is_secure: bool,
    pub credentials: Credentials,
    pub database: u32,
    /// For each command.
    pub timeout: Duration,
    /// Who is told of what was read over a connection and then changes.
    pub watchers: Option<Watchers>,
}

/// An open connection; clones are the same one. Dropped by everyone, it closes.
#[derive(Clone)]
pub(super) struct Connection {
    endpoint: Endpoint,
    credentials: Credentials,
    timeout: Duration,
    multiplexed: MultiplexedConnection,
    driver: Arc<Driver>,
}

/// The task that reads and writes.
struct Driver {
    task: AbortHandle,
    /// Closed when the task ends.
    end: watch::Receiver<()>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells a connection from others, without keeping it open.
#[derive(Clone)]
pub(super) struct Identity(Weak<Driver>);

impl Connection {
    /// Connects and says who it is.
    ///
    /// # Errors
    /// If nobody answers by then, or refuses, or is too old.
    pub async fn open(endpoint: &Endpoint, settings: &Settings, deadline: Instant) -> Result<Self, Fault> {
        let begun = Instant::now();
        match timeout_at(deadline, Self::connect(endpoint, settings, deadline)).await {
            Ok(connected) => connected,
            Err(_) => Err(Fault::slow(endpoint, deadline - begun)),
        }
    }

    async fn connect(endpoint: &Endpoint, settings: &Settings, deadline: Instant) -> Result<Self, Fault> {
        let Endpoint { host, port } = endpoint;
        let stream = open_stream(host, *port, settings.is_secure).await.map_err(|error| (endpoint, error))?;
        Self::over(stream, endpoint, settings, deadline).await
    }

    /// Says who it is over a stream that leads there.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub(super) async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        endpoint: &Endpoint,
        settings: &Settings,
        deadline: Instant,
    ) -> Result<Self, Fault> {
        // What is said first is said below, where its answers can be told apart.
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
        // Its own clock of half a second would be in the way of ours.
        let mut config = AsyncConnectionConfig::new().set_response_timeout(None);
        let credentials = settings.credentials.clone();
        if let Some(watchers) = settings.watchers.clone() {
            info = greeting::in_resp3(info, &credentials);
            config = config.set_push_sender(move |push| {
                watchers.hear(&push);
                Ok::<_, Infallible>(())
            });
        }
        let opened = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (multiplexed, driver) = opened.map_err(|error| Fault::of(&error, endpoint, &credentials))?;
        let (ending, end) = watch::channel(());
        let task = tokio::spawn(async move {
            let _ending = ending;
            driver.await;
        });
        let driver = Arc::new(Driver { task: task.abort_handle(), end });
        let connection =
            Self { endpoint: endpoint.clone(), credentials, timeout: settings.timeout, multiplexed, driver };
        connection.greet(settings.database, deadline).await?;
        if settings.watchers.is_some() {
            let mut command = redis::cmd("CLIENT");
            command.arg("TRACKING").arg("ON");
            connection.run_until(&command, deadline).await?;
        }
        Ok(connection)
    }

    /// What tells it from others.
    pub fn identity(&self) -> Identity {
        Identity(Arc::downgrade(&self.driver))
    }

    /// Done when it is closed, by whichever side. Does not keep it open.
    pub fn end(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut end = self.driver.end.clone();
        async move {
            // Nothing is ever sent.
            drop(end.changed().await);
        }
    }

    /// Where it leads.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Runs a command, within its timeout and until then at the latest.
    ///
    /// # Errors
    /// If it is refused, or not answered in time.
    pub async fn run(&self, command: &Cmd, deadline: Instant) -> Result<Value, Fault> {
        self.run_until(command, deadline.min(Instant::now() + self.timeout)).await
    }

    /// Runs a command of a slot that is on its way to this node.
    ///
    /// # Errors
    /// As [`Connection::run`].
    pub async fn run_asking(&self, command: &Cmd, deadline: Instant) -> Result<Value, Fault> {
        let mut pipeline = redis::Pipeline::with_capacity(2);
        pipeline.cmd("ASKING").add_command(command.clone());
        let mut multiplexed = self.multiplexed.clone();
        let deadline = deadline.min(Instant::now() + self.timeout);
        let values = self.in_time(multiplexed.send_packed_commands(&pipeline, 1, 1), deadline).await?;
        let first = values.into_iter().next().ok_or_else(|| Fault::refused("a node answered nothing"))?;
        self.checked(first)
    }

    pub(super) async fn run_until(&self, command: &Cmd, deadline: Instant) -> Result<Value, Fault> {
        let mut multiplexed = self.multiplexed.clone();
        let value = self.in_time(multiplexed.send_packed_command(command), deadline).await?;
        self.checked(value)
    }

    /// What was answered, unless it is an error.
    fn checked(&self, value: Value) -> Result<Value, Fault> {
        value.extract_error().map_err(|error| Fault::of(&error, &self.endpoint, &self.credentials))
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = redis::RedisResult<T>>,
        deadline: Instant,
    ) -> Result<T, Fault> {
        let begun = Instant::now();
        match timeout_at(deadline, work).await {
            Ok(answer) => answer.map_err(|error| Fault::of(&error, &self.endpoint, &self.credentials)),
            Err(_) => Err(Fault::slow(&self.endpoint, deadline.saturating_duration_since(begun))),
        }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.endpoint)
    }
}
