//! A connection that carries bytes of any protocol, over TLS or not.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::names::{Names, lookup_apart};
use super::tls::Tls;

/// How long the addresses of a name are used: for the next try to connect, where they came too late for the one that asked. A host that
/// takes the place of another under the same name is found within this time.
const KEPT: Duration = Duration::from_secs(1);

/// How long a connection is silent before the system asks whether the other side is still there, how often it asks, and how often in
/// vain, as for providers: what a NAT or a balancer has forgotten is noticed before anybody needs it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_RETRIES: u32 = 3;

/// Whoever tries to connect loses patience long before the system does with a name server that says nothing, and tries again. Its lookup
/// goes on, so there is never another of the same name beside it.
static NAMES: LazyLock<Names> = LazyLock::new(|| Names::with_one_lookup_each(KEPT));

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Connects to a host, by name or address; with `is_secure` over TLS, trusting whom providers' connections trust.
///
/// # Errors
/// If the name is not known, nobody answers, or its certificate is not trusted.
pub(crate) async fn open_stream(host: &str, port: u16, is_secure: bool) -> io::Result<Box<dyn Stream>> {
    let stream = connect(&NAMES, host, port, lookup_apart).await?;
    if !is_secure {
        return Ok(Box::new(stream));
    }
    let tls = Tls::shared().map_err(|failure| io::Error::other(failure.message))?;
    if let Some(missing) = &tls.missing {
        return Err(io::Error::other(missing.message.clone()));
    }
    let mut config = tls.config.clone();
    // Those are HTTP's.
    config.alpn_protocols.clear();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
}

/// Connects, and has the system look after the connection.
async fn connect<F>(names: &Names, host: &str, port: u16, lookup: impl FnOnce(String) -> F) -> io::Result<TcpStream>
where
    F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    let stream = reach(names, host, port, lookup).await?;
    stream.set_nodelay(true)?;
    let alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE).with_retries(KEEP_ALIVE_RETRIES);
    SockRef::from(&stream).set_tcp_keepalive(&alive)?;
    Ok(stream)
}

/// Connects to the first address of the host that answers.
async fn reach<F>(names: &Names, host: &str, port: u16, lookup: impl FnOnce(String) -> F) -> io::Result<TcpStream>
where
    F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    if let Ok(address) = host.parse::<IpAddr>() {
        return TcpStream::connect((address, port)).await;
    }
    let found = names.addresses(host, lookup).await?;
    let addresses: Vec<_> = found.iter().map(|address| SocketAddr::new(address.ip(), port)).collect();
    let connected = TcpStream::connect(&*addresses).await;
    if connected.is_err() {
        names.forget(host);
    }
    connected
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::TcpListener;
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    /// A name server that takes so long, and how often it was asked.
    #[derive(Clone)]
    struct Resolver {
        asked: Arc<AtomicUsize>,
        takes: Duration,
    }

    impl Resolver {
        fn new(takes: Duration) -> Self {
            Self { asked: Arc::default(), takes }
        }

        async fn lookup(self, _: String) -> io::Result<Vec<SocketAddr>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            sleep(self.takes).await;
            Ok(vec![([127, 0, 0, 1], 0).into()])
        }

        async fn connect(&self, names: &Names, host: &str, port: u16) -> io::Result<TcpStream> {
            let resolver = self.clone();
            connect(names, host, port, |name| resolver.lookup(name)).await
        }

        /// Whether it is known where the host is before a try to connect is given up.
        async fn is_found(&self, names: &Names, host: &str) -> bool {
            let resolver = self.clone();
            timeout(Duration::from_secs(1), names.addresses(host, |name| resolver.lookup(name))).await.is_ok()
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    fn names() -> Names {
        Names::with_one_lookup_each(KEPT)
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_tried_for_ten_minutes_and_never_resolves_is_looked_up_once_a_minute() {
        let (names, resolver, begun) = (names(), Resolver::new(Duration::MAX), Instant::now());
        while begun.elapsed() < Duration::from_secs(600) {
            for host in ["one", "two", "three"] {
                assert!(timeout(Duration::from_secs(1), resolver.connect(&names, host, 1)).await.is_err());
            }
            sleep(Duration::from_millis(50)).await;
        }
        let asked = resolver.asked();
        assert!((27..=30).contains(&asked), "{asked} lookups of three names");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_found_too_late_for_whoever_asked_is_used_by_the_next_and_not_for_long() {
        let (names, resolver) = (names(), Resolver::new(Duration::from_millis(2500)));
        assert!(!resolver.is_found(&names, "host").await && !resolver.is_found(&names, "host").await);
        sleep(Duration::from_millis(600)).await;
        assert!(resolver.is_found(&names, "host").await);
        assert_eq!(resolver.asked(), 1);
        sleep(KEPT).await;
        assert!(!resolver.is_found(&names, "host").await);
        assert_eq!(resolver.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_is_not_reached_is_looked_up_again_by_the_next_try_and_one_that_is_there_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (names, resolver) = (names(), Resolver::new(Duration::ZERO));
        for looked_up in [1, 2] {
            resolver.connect(&names, "host", 1).await.unwrap_err();
            assert_eq!(resolver.asked(), looked_up);
        }
        for _ in 0..2 {
            resolver.connect(&names, "host", port).await.unwrap();
        }
        assert_eq!(resolver.asked(), 3);
    }

    #[tokio::test]
    async fn a_connection_that_is_silent_is_looked_after() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (names, resolver) = (names(), Resolver::new(Duration::ZERO));
        let port = listener.local_addr().unwrap().port();
        let stream = resolver.connect(&names, "host", port).await.unwrap();
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }

    #[tokio::test]
    async fn an_address_is_nothing_to_look_up() {
        let (names, resolver) = (names(), Resolver::new(Duration::ZERO));
        for host in ["127.0.0.1", "::1"] {
            resolver.connect(&names, host, 1).await.unwrap_err();
        }
        assert_eq!(resolver.asked(), 0);
    }
}
