//! Opens connections and keeps them: the only file that names reqwest.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::{HeaderMap, Method, header};
use bytes::{Bytes, BytesMut};
pub(super) use reqwest::Url;
use reqwest::redirect;
use tokio::runtime::{Handle, Id};

use super::HttpRequest;
use super::http::cut;
use super::proxies::{Proxies, Proxy};
use super::target::Target;
use super::tls::{self, Tls};
use super::transport::{self, Unanswered};
use crate::constants::MAX_ERROR_BODY_BYTES;
use crate::error::{Failure, FailureClass};

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

/// Opens connections and keeps them.
///
/// Connections are shared by everyone in the process who asks for the same setting on the same Tokio runtime. They live
/// on the runtime that opened them, so a client itself holds none: it finds those of the runtime that polls
/// [`send`](Client::send), and may be used on any.
///
/// Kept for 90 s, with `TCP_NODELAY`; a dead route is noticed within a minute, by TCP keep-alive and HTTP/2 pings; HTTP/2
/// where a TLS server offers it; gzip; proxies, over HTTP, TLS or SOCKS, from `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and
/// `NO_PROXY` (or the platform's settings), except for this machine itself; no redirect is followed, because it would carry the key. The head of an
/// answer is bounded by hyper: 100 headers and 408 KiB over HTTP/1.1, 16 KiB of headers over HTTP/2.
#[derive(Clone, Debug)]
pub struct Client {
    connect: Duration,
}

/// How long a connection may take, on which runtime, whether over TLS, and whether to this machine.
type Setting = (Duration, Id, bool, bool);

/// The connections of one setting.
#[derive(Clone, Debug)]
struct Connections {
    client: reqwest::Client,
    /// What they go through; nothing to this machine, because a proxy would see keys that are only meant to go over loopback.
    proxies: Option<Arc<Proxies>>,
}

/// An answer whose body has not been read yet. Dropping it closes the exchange.
pub struct HttpResponse {
    response: reqwest::Response,
    target: Arc<Target>,
    taken: usize,
    limit: usize,
    /// Bytes that were looked at and are still to be given.
    peeked: Option<Bytes>,
}

impl Client {
    /// The client for this connect timeout, which covers DNS, TCP and TLS together.
    #[must_use]
    pub fn shared(connect: Duration) -> Self {
        Self { connect }
    }

    /// Sends a request; done when the headers are there. Dropping the future closes the exchange.
    ///
    /// # Errors
    /// None of them names a path, a query or a header's value.
    /// - [`FailureClass::Auth`], unsent: the URL or a header cannot be sent, or a key would go over plain http to another
    ///   machine without `allow_insecure`; `NODE_EXTRA_CA_CERTS` names a file that cannot be read or holds no certificate; the
    ///   proxy asks for credentials that it was not given, or is named in a way that cannot be understood.
    /// - [`FailureClass::Transient`], unsent: no connection (DNS, refused, TLS, a proxy that does not make it).
    /// - [`FailureClass::Silent`], unsent: no connection in time ([`Phase::Connect`]).
    /// - [`FailureClass::Transient`]: the connection was lost before the headers came.
    /// - [`FailureClass::Auth`]: a redirect; the message says what to set `baseUrl` to.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let target = Target::of(&request)?;
        let headers = request.header_map()?;
        let Connections { client, proxies } = self.connections(&target)?;
        let proxy = proxies.map(|proxies| proxies.on_the_way_to(target.url.as_str())).transpose()?.flatten();
        let mut exchange = reqwest::Request::new(Method::POST, target.url.clone());
        *exchange.headers_mut() = headers;
        *exchange.body_mut() = Some(request.body.into());
        let response = client
            .execute(exchange)
            .await
            .map_err(|error| unanswered(&error, &target.origin, proxy.as_ref(), self.connect))?;
        if let Some(proxy) = proxy.filter(|_| response.status().as_u16() == 407 && !target.is_tls) {
            return Err(proxy.unauthorised(&target.origin));
        }
        if response.status().is_redirection() {
            return Err(redirected(&response, &target.url));
        }
        Ok(HttpResponse { response, target, taken: 0, limit: request.max_response_bytes, peeked: None })
    }

    /// The connections of the runtime that polls this.
    fn connections(&self, target: &Target) -> Result<Connections, Failure> {
        // A runtime's id may be used again after it has ended. Its connections ended with it, and the pool never lends
        // one that has, so the worst that comes of it is an empty pool.
        static KEPT: Mutex<Vec<(Setting, Connections)>> = Mutex::new(Vec::new());
        let (is_tls, is_local) = (target.is_tls, target.is_local);
        // Plain http to this machine needs no certificate; to another one, its proxy may be asked over TLS.
        let tls = (is_tls || !is_local).then(Tls::shared).transpose()?;
        if let Some(missing) = tls.as_ref().and_then(|tls| tls.missing.clone()).filter(|_| is_tls) {
            return Err(missing);
        }
        let runtime = Handle::try_current().map_err(|_| unsent("the client was polled outside a Tokio runtime"))?.id();
        let setting = (self.connect, runtime, is_tls, is_local);
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = kept.iter().find(|(its, _)| *its == setting) {
            return Ok(found.clone());
        }
        let builder = reqwest::Client::builder()
            .user_agent(concat!("thryd/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(self.connect)
            .tcp_nodelay(true)
            .tcp_keepalive(KEEP_ALIVE)
            .tcp_keepalive_interval(KEEP_ALIVE)
            .tcp_keepalive_retries(KEEP_ALIVE_RETRIES)
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PONG)
            .tls_backend_preconfigured(tls.map_or_else(tls::unused, |tls| Ok(tls.config.clone()))?);
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        let builder = builder.tcp_user_timeout(UNACKNOWLEDGED);
        let builder = if is_local { builder.no_proxy() } else { builder };
        let client =
            builder.build().map_err(|error| unsent(format!("no client can be made: {}", transport::cause(&error))))?;
        let connections = Connections { client, proxies: (!is_local).then(|| Arc::new(Proxies::of_the_process())) };
        if kept.len() == MAX_KEPT {
            kept.remove(0);
        }
        kept.push((setting, connections.clone()));
        Ok(connections)
    }
}

impl HttpResponse {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The headers. Without `content-encoding` and `content-length` if the body came compressed.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next bytes; `None` at the end. They count towards the bound as they are after decompression, and an announced
    /// length beyond it is refused before anything is read.
    ///
    /// # Errors
    /// [`FailureClass::Truncated`]: a cut, a body that cannot be decompressed, or more than the bound.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        if let Some(peeked) = self.peeked.take() {
            return Ok(Some(peeked));
        }
        let announced = self.response.content_length().unwrap_or_default();
        if announced > self.limit as u64 {
            return Err(self.broken(format_args!("is {announced} bytes long, more than {}", self.limit)));
        }
        let chunk = match self.response.chunk().await {
            Ok(chunk) => chunk,
            Err(error) if error.is_decode() => {
                return Err(
                    self.broken(format_args!("was cut or cannot be decompressed: {}", transport::cause(&error)))
                );
            }
            Err(error) => return Err(self.broken(format_args!("was cut: {}", transport::cause(&error)))),
        };
        self.taken = self.taken.saturating_add(chunk.as_ref().map_or(0, Bytes::len));
        if self.taken > self.limit {
            return Err(self.broken(format_args!("is longer than {} bytes", self.limit)));
        }
        Ok(chunk)
    }

    /// Whether it is a stream of events or has to be read whole: waits for its first bytes, which
    /// [`chunk`](HttpResponse::chunk) still gives. `is_wanted` decides where nothing says
    /// ([`is_event_stream`](super::is_event_stream)).
    ///
    /// # Errors
    /// As [`chunk`](HttpResponse::chunk).
    pub async fn is_event_stream(&mut self, is_wanted: bool) -> Result<bool, Failure> {
        // Nothing at all is no stream: who reads it whole says that it is empty.
        let Some(mut first) = self.chunk().await? else { return Ok(false) };
        while first.len() < MAX_ERROR_BODY_BYTES && super::is_undecided(&first) {
            let Some(more) = self.chunk().await? else { break };
            first = [first, more].concat().into();
        }
        let content_type = self.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_stream = super::is_event_stream(content_type, &first, is_wanted);
        self.peeked = Some(first);
        Ok(is_stream)
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`chunk`](HttpResponse::chunk).
    pub async fn whole(mut self) -> Result<Bytes, Failure> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut whole = BytesMut::with_capacity(2 * (first.len() + second.len()));
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(chunk) = self.chunk().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// The first 64 KiB as text, for an error, and whether it came in time. Never fails: what cannot be read, or has not come
    /// within `limit`, is left out.
    pub async fn error_body(mut self, limit: Duration) -> (String, bool) {
        let mut body = self.peeked.take().unwrap_or_default().to_vec();
        body.truncate(MAX_ERROR_BODY_BYTES);
        let reading = async {
            while let Ok(Some(chunk)) = self.response.chunk().await {
                let room = MAX_ERROR_BODY_BYTES - body.len();
                body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                if body.len() == MAX_ERROR_BODY_BYTES {
                    break;
                }
            }
        };
        // Whatever has come counts, so running out of time is no failure.
        let is_in_time = tokio::time::timeout(limit, reading).await.is_ok();
        let mut text = String::from_utf8_lossy(&body).into_owned();
        if body.len() == MAX_ERROR_BODY_BYTES {
            // The cut may have gone through a character.
            text.truncate(text.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
        }
        // What stands in for a damaged byte is three bytes long.
        cut(&mut text, MAX_ERROR_BODY_BYTES);
        (text, is_in_time)
    }

    fn broken(&self, what: fmt::Arguments<'_>) -> Failure {
        let mut failure = Failure::new(FailureClass::Truncated, format!("the answer of {} {what}", self.target.origin));
        failure.status = Some(self.status());
        failure.request_id = super::request_id(self.headers());
        failure
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status())
            .field("origin", &self.target.origin)
            .finish_non_exhaustive()
    }
}

fn unsent(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Transient, message).unsent()
}

pub(super) fn unusable(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Auth, message).unsent()
}

/// Why no headers came.
fn unanswered(error: &reqwest::Error, origin: &str, proxy: Option<&Proxy>, connect: Duration) -> Failure {
    let signs = Unanswered {
        is_connect: error.is_connect(),
        is_timeout: error.is_timeout(),
        is_dns: error.is_dns(),
        io: transport::io_error(error),
        tls: tls::problem(error),
        proxy,
        tunnel: transport::tunnel(error),
        cause: &transport::cause(error),
    };
    signs.failure(origin, connect)
}

/// A redirect, which is not followed: only its origin is named, since its query may hold anything.
fn redirected(response: &reqwest::Response, from: &Url) -> Failure {
    let (status, origin) = (response.status().as_u16(), from.origin().ascii_serialization());
    let location = response.headers().get(header::LOCATION).and_then(|to| from.join(to.to_str().ok()?).ok());
    let message = match location {
        Some(to) => {
            let to = to.origin().ascii_serialization();
            format!("{origin} redirects to {to}, which is not followed with a key: set baseUrl to its address at {to}")
        }
        None => format!("{origin} redirects to nowhere: check baseUrl"),
    };
    let mut failure = Failure::new(FailureClass::Auth, message);
    failure.status = Some(status);
    failure.request_id = super::request_id(response.headers());
    failure
}
