//! Sends requests over connections that are kept: this file and those below it are the only ones that name reqwest.

mod pool;
mod response;

use std::time::Duration;

use ::http::{Method, header};
pub(super) use reqwest::Url;

use self::pool::Connections;
pub use self::response::HttpResponse;
use super::HttpRequest;
use super::proxies::Proxy;
use super::target::Target;
use super::tls;
use super::transport::{self, Unanswered};
use crate::error::{Failure, FailureClass};

/// How long the answer to a request that only opens a connection is waited for: nothing depends on it.
const WARM_WITHIN: Duration = Duration::from_secs(5);

/// Opens connections and keeps them.
///
/// Connections are shared by everyone in the process who asks for the same setting on the same Tokio runtime. They live
/// on the runtime that opened them, so a client itself holds none: it finds those of the runtime that polls
/// [`send`](Client::send), and may be used on any.
///
/// Kept for 90 s, with `TCP_NODELAY`; a name is looked up once in 10 s, and of its addresses those of the other family are
/// tried 300 ms after the first; TLS sessions are resumed, whichever runtime they are of; a dead route is noticed within a
/// minute, by TCP keep-alive and HTTP/2 pings; HTTP/2 where a TLS server offers it; gzip; proxies, over HTTP, TLS or SOCKS,
/// from `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` (or the platform's settings), except for this machine
/// itself; no redirect is followed, because it would carry the key. The head of an answer is bounded by hyper: 100 headers
/// and 408 KiB over HTTP/1.1, 16 KiB of headers over HTTP/2.
#[derive(Clone, Debug)]
pub struct Client {
    connect: Duration,
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
        let connections = Connections::of(self.connect, &target)?;
        let proxy = connections.proxy(&target)?;
        let mut exchange = reqwest::Request::new(Method::POST, target.url.clone());
        *exchange.headers_mut() = headers;
        *exchange.body_mut() = Some(request.body.into());
        let response = connections.client.execute(exchange).await.map_err(|error| {
            if error.is_connect() {
                connections.forget(&target, proxy.as_ref());
            }
            unanswered(&error, &target.origin, proxy.as_ref(), self.connect)
        })?;
        if let Some(proxy) = proxy.filter(|_| response.status().as_u16() == 407 && !target.is_tls) {
            return Err(proxy.unauthorised(&target.origin));
        }
        if response.status().is_redirection() {
            return Err(redirected(&response, &target.url));
        }
        Ok(HttpResponse::new(response, target, request.max_response_bytes))
    }

    /// Opens a connection to where this URL leads, so that the next request to it finds one: names looked up, TLS
    /// agreed. It asks for the head of `/`, without a key, and whatever is answered is fine. Does nothing where the same
    /// was done a moment ago, or is being done.
    ///
    /// # Errors
    /// As [`send`](Client::send), if no connection was made.
    pub async fn warm_up(&self, url: &str) -> Result<(), Failure> {
        let target = Target::at(url)?;
        let connections = Connections::of(self.connect, &target)?;
        let Some(warming) = connections.warm.begin(&target.origin) else { return Ok(()) };
        let proxy = connections.proxy(&target)?;
        let exchange = connections.client.head(&target.origin).send();
        match tokio::time::timeout(self.connect + WARM_WITHIN, exchange).await {
            Ok(Ok(_)) => {
                warming.done();
                Ok(())
            }
            Ok(Err(error)) => {
                connections.forget(&target, proxy.as_ref());
                Err(unanswered(&error, &target.origin, proxy.as_ref(), self.connect))
            }
            // What was opened is closed, unless others share it: over HTTP/1 nothing else can be asked before it has answered.
            Err(_) => Err(unsent(format!("{} does not answer", target.origin))),
        }
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

#[cfg(test)]
mod tests;
