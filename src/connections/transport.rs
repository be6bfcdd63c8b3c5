//! What it means that no headers came, by what the layers below HTTP say. Pure: `client.rs` gathers the signs.
//!
//! | sign | class | may have cost something |
//! |---|---|---|
//! | no connection in time | silent, the connect clock | no |
//! | no such name, refused, no route, a proxy that does not connect | transient | no |
//! | a proxy that asks for a user name and a password | auth | no |
//! | no TLS: a certificate that is not trusted, another protocol | transient | no |
//! | lost before the headers: reset, closed | transient | yes |
//! | a head that is too large or no HTTP | transient | yes |
//!
//! None of them says anything about the request, so all of them lead to other deployments. What goes wrong after the
//! headers is `FailureClass::Truncated` ([`HttpResponse::chunk`](super::HttpResponse::chunk)).

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::proxies::Proxy;
use crate::error::{Failure, FailureClass, Phase};

/// What a proxy made of being asked for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tunnel {
    /// It was not reached.
    Unreached,
    /// It asks for a user name and a password, or for others.
    Unauthorised,
    /// It said no, or something that nobody understands, or hung up.
    Refused,
}

/// The signs of an exchange that gave no headers.
#[derive(Default)]
pub(super) struct Unanswered<'a> {
    /// Whether there was no connection.
    pub is_connect: bool,
    /// Whether a clock ran out: the connect clock, or the system's own.
    pub is_timeout: bool,
    /// Whether the name was not found.
    pub is_dns: bool,
    /// The operating system's word.
    pub io: Option<&'a io::Error>,
    /// What was wrong with TLS.
    pub tls: Option<&'a rustls::Error>,
    /// Through whom it was to go.
    pub proxy: Option<&'a Proxy>,
    /// What went wrong on the way through it.
    pub tunnel: Option<Tunnel>,
    /// The innermost cause; names no URL.
    pub cause: &'a str,
}

impl Unanswered<'_> {
    /// The failure of an exchange with `origin`, for whose connection there was this much time.
    pub(super) fn failure(&self, origin: &str, connect: Duration) -> Failure {
        let os = self.io.and_then(io::Error::raw_os_error);
        // Whether it is the proxy to which there is no connection. Where nothing is tunnelled, it is all that is connected to;
        // over SOCKS nobody says so, but what is neither a name nor TLS is between here and there.
        let is_unreached = match self.tunnel {
            Some(tunnel) => tunnel == Tunnel::Unreached,
            None if self.proxy.is_some_and(Proxy::is_socks) => self.tls.is_none() && !self.is_dns,
            None => origin.starts_with("http:"),
        };
        let (peer, way) = match self.proxy {
            None => (origin.to_owned(), String::new()),
            Some(proxy) if self.is_connect && is_unreached => (proxy.to_string(), format!(", on the way to {origin}")),
            Some(proxy) => (origin.to_owned(), format!(", through {proxy}")),
        };
        if self.is_connect && self.is_timeout && os.is_none() {
            let mut failure = Failure::timeout(Phase::Connect, connect);
            failure.message.push_str(&way);
            return failure;
        }
        let cause = self.cause;
        let message = match (self.proxy, self.tunnel, self.tls, self.io.map(io::Error::kind)) {
            (Some(proxy), Some(Tunnel::Unauthorised), ..) => return proxy.unauthorised(origin),
            (Some(proxy), Some(Tunnel::Refused), ..) => format!(
                "{proxy} does not connect to {origin} ({cause}): it has to allow that host, or NO_PROXY to name it if it is \
                 reached without a proxy"
            ),
            (_, _, Some(rustls::Error::InvalidCertificate(why)), _) => format!(
                "the certificate of {peer} is not trusted ({why}){way}; if it comes from your company's proxy, name its \
                 authority's PEM file in NODE_EXTRA_CA_CERTS"
            ),
            (_, _, Some(why), _) => format!("no TLS with {peer}{way}: {why}"),
            (_, _, None, Some(io::ErrorKind::ConnectionRefused)) => format!("connection refused by {peer}{way}"),
            (_, _, None, Some(io::ErrorKind::ConnectionReset)) => format!("connection reset by {peer}{way}"),
            _ if self.is_dns => format!("the name of {peer} cannot be resolved{way}: {cause}"),
            _ if self.is_connect => format!("no connection to {peer}{way}: {cause}"),
            _ => format!("no answer from {peer}{way}: {cause}"),
        };
        let failure = Failure::new(FailureClass::Transient, message);
        if self.is_connect { failure.unsent() } else { failure }
    }
}

/// The innermost cause, which says most, and names no URL.
pub(super) fn cause(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map_or_else(|| "unknown".into(), ToString::to_string)
}

/// The operating system's word, if it has one.
pub(super) fn io_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// What became of a connection through a proxy, by its words: its type has no name outside of the crate that makes it.
pub(super) fn tunnel(error: &(dyn StdError + 'static)) -> Option<Tunnel> {
    causes(error).find_map(|error| {
        let text = error.to_string();
        let why = text.strip_prefix("tunnel error: ")?;
        Some(match why {
            "proxy authorization required" => Tunnel::Unauthorised,
            "failed to create underlying connection" => Tunnel::Unreached,
            _ => Tunnel::Refused,
        })
    })
}

/// What stands behind an error, the outermost first.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError::Expired;

    use super::*;

    #[test]
    fn whatever_goes_wrong_below_http_is_asked_of_others_and_named() {
        let refused = io::Error::from_raw_os_error(111);
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let system_timeout = io::Error::from_raw_os_error(110);
        let expired = rustls::Error::InvalidCertificate(Expired);
        let table = [
            (
                Unanswered { is_connect: true, is_timeout: true, ..Unanswered::default() },
                false,
                "no connection after 7000 ms",
            ),
            (
                Unanswered { is_connect: true, is_timeout: true, io: Some(&system_timeout), ..Unanswered::default() },
                false,
                "no connection to https://a: why",
            ),
            (
                Unanswered { is_connect: true, io: Some(&refused), ..Unanswered::default() },
                false,
                if cfg!(target_os = "linux") { "connection refused by https://a" } else { "https://a" },
            ),
            (Unanswered { is_connect: true, is_dns: true, ..Unanswered::default() }, false, "cannot be resolved: why"),
            (
                Unanswered { is_connect: true, tls: Some(&expired), ..Unanswered::default() },
                false,
                "NODE_EXTRA_CA_CERTS",
            ),
            (
                Unanswered {
                    is_connect: true,
                    tls: Some(&rustls::Error::HandshakeNotComplete),
                    ..Unanswered::default()
                },
                false,
                "no TLS with https://a: ",
            ),
            (Unanswered { io: Some(&reset), ..Unanswered::default() }, true, "connection reset by https://a"),
            (Unanswered::default(), true, "no answer from https://a: why"),
        ];
        for (signs, is_sent, message) in table {
            let failure = Unanswered { cause: "why", ..signs }.failure("https://a", Duration::from_secs(7));
            let is_late = message.contains("7000");
            let class = if is_late { FailureClass::Silent } else { FailureClass::Transient };
            assert_eq!((failure.class, failure.is_sent), (class, is_sent), "{message}");
            assert!(failure.message.contains(message), "{}", failure.message);
            assert_eq!(failure.timeout.is_some(), is_late, "{message}");
        }
    }
}
