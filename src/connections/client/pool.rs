//! The connections of each setting: how they are made, what is kept of them, and for whom.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use tokio::runtime::{Handle, Id};

use super::unsent;
use crate::connections::names::{Names, lookup};
use crate::connections::proxies::{Proxies, Proxy};
use crate::connections::target::Target;
use crate::connections::tls::{self, Tls};
use crate::connections::transport;
use crate::connections::warm::Warm;
use crate::error::Failure;

/// Most settings whose connections are kept; the oldest goes first. Programs have one or two.
const MAX_KEPT: usize = 32;

/// How long a connection is silent before the system asks whether the other side is still there, how often it asks, and
/// how often in vain. A model may think for minutes, in which nothing is sent: a NAT or a firewall forgets the connection
/// after as little as half a minute, and without a question nobody would notice.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_RETRIES: u32 = 3;

/// How long what was sent may stay unacknowledged, where the system can tell (Linux). Its own patience is a quarter of an hour.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// The same question over HTTP/2, which goes through proxies that answer TCP's themselves: after this much silence, while a
/// request is under way. Not more often, because some servers take frequent pings for an attack.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(15);

/// How long a connection that nobody uses is kept. Those that the other side gives up before are noticed, and never lent.
/// However many there are: the next burst is to open no more than the last one did, which had as many at a time.
const IDLE: Duration = Duration::from_secs(90);
const MAX_IDLE: usize = usize::MAX;

/// How much of an answer over HTTP/2 may come before it is read, and how much of all that share a connection: of those as
/// much as the protocol can say. The second is used up by what nobody reads on, as a stream that its reader has left open, so
/// each such stream would take its part of it from all others, and a few would stop them. Windows that adapt to the route
/// (`http2_adaptive_window`) make both the same, and begin at 64 KiB: a single one stops all.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// How long a connection may take, on which runtime, whether over TLS, and whether to this machine.
type Setting = (Duration, Id, bool, bool);

/// The connections of one setting.
#[derive(Debug)]
pub(super) struct Connections {
    pub client: reqwest::Client,
    /// What they go through; nothing to this machine, because a proxy would see keys that are only meant to go over loopback.
    proxies: Option<Proxies>,
    names: Names,
    pub warm: Warm,
}

/// Looks names up for reqwest.
pub(super) struct Resolver<L> {
    pub names: Names,
    pub lookup: L,
}

impl<L, F> Resolve for Resolver<L>
where
    L: Fn(String) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = std::io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    fn resolve(&self, name: Name) -> Resolving {
        let (names, lookup) = (self.names.clone(), self.lookup.clone());
        Box::pin(async move {
            let found = names.addresses(name.as_str(), lookup).await?;
            Ok(Box::new(Vec::from(&*found).into_iter()) as Addrs)
        })
    }
}

impl Connections {
    /// The proxy on the way to it.
    pub fn proxy(&self, target: &Target) -> Result<Option<Proxy>, Failure> {
        let proxies = self.proxies.as_ref();
        Ok(proxies.map(|proxies| proxies.on_the_way_to(target.url.as_str())).transpose()?.flatten())
    }

    /// No connection was made by the addresses that are known.
    pub fn forget(&self, target: &Target, proxy: Option<&Proxy>) {
        [target.url.host_str(), proxy.and_then(Proxy::host)]
            .into_iter()
            .flatten()
            .for_each(|name| self.names.forget(name));
    }

    /// The connections of the runtime that polls this.
    pub fn of(connect: Duration, target: &Target) -> Result<Arc<Self>, Failure> {
        // A runtime's id may be used again after it has ended. Its connections ended with it, and the pool never lends
        // one that has, so the worst that comes of it is an empty pool.
        static KEPT: Mutex<Vec<(Setting, Arc<Connections>)>> = Mutex::new(Vec::new());
        let (is_tls, is_local) = (target.is_tls, target.is_local);
        // Plain http to this machine needs no certificate; to another one, its proxy may be asked over TLS.
        let tls = (is_tls || !is_local).then(Tls::shared).transpose()?;
        if let Some(missing) = tls.as_ref().and_then(|tls| tls.missing.clone()).filter(|_| is_tls) {
            return Err(missing);
        }
        let runtime = Handle::try_current().map_err(|_| unsent("the client was polled outside a Tokio runtime"))?.id();
        let setting = (connect, runtime, is_tls, is_local);
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = kept.iter().find(|(its, _)| *its == setting) {
            return Ok(Arc::clone(found));
        }
        let names = Names::default();
        let tls = tls.map_or_else(tls::unused, |tls| Ok(tls.config.clone()))?;
        let builder = builder(connect, tls, Resolver { names: names.clone(), lookup });
        let builder = if is_local { builder.no_proxy() } else { builder };
        let client =
            builder.build().map_err(|error| unsent(format!("no client can be made: {}", transport::cause(&error))))?;
        let proxies = (!is_local).then(Proxies::of_the_process);
        let connections = Arc::new(Self { client, proxies, names, warm: Warm::default() });
        if kept.len() == MAX_KEPT {
            kept.remove(0);
        }
        kept.push((setting, Arc::clone(&connections)));
        Ok(connections)
    }
}

/// How connections are made.
pub(super) fn builder(
    connect: Duration,
    tls: rustls::ClientConfig,
    resolver: impl Resolve + 'static,
) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("thryd/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(connect)
        .dns_resolver(resolver)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MAX_IDLE)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEP_ALIVE)
        .tcp_keepalive_interval(KEEP_ALIVE)
        .tcp_keepalive_retries(KEEP_ALIVE_RETRIES)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PONG)
        .tls_backend_preconfigured(tls);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let builder = builder.tcp_user_timeout(UNACKNOWLEDGED);
    builder
}
