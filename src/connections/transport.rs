//! What it means that no headers came, by what the layers below HTTP say. Pure: `client.rs` gathers the signs.
//!
//! | sign | class | may have cost something |
//! |---|---|---|
//! | no connection in time | silent, the connect clock | no |
//! | no such name, refused, no route, a proxy that refuses | transient | no |
//! | no TLS: a certificate that is not trusted, another protocol | transient | no |
//! | lost before the headers: reset, closed | transient | yes |
//! | a head that is too large or no HTTP | transient | yes |
//!
//! None of them says anything about the request, so all of them lead to other deployments. What goes wrong after the
//! headers is `FailureClass::Truncated` ([`HttpResponse::chunk`](super::HttpResponse::chunk)).

use std::io;
use std::time::Duration;

use crate::error::{Failure, FailureClass, Phase};

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
    /// The innermost cause; names no URL.
    pub cause: &'a str,
}

impl Unanswered<'_> {
    /// The failure of an exchange with `origin`, for whose connection there was this much time.
    pub(super) fn failure(&self, origin: &str, connect: Duration) -> Failure {
        let os = self.io.and_then(io::Error::raw_os_error);
        if self.is_connect && self.is_timeout && os.is_none() {
            return Failure::timeout(Phase::Connect, connect);
        }
        let cause = self.cause;
        let message = match (self.tls, self.io.map(io::Error::kind)) {
            (Some(rustls::Error::InvalidCertificate(why)), _) => format!(
                "the certificate of {origin} is not trusted ({why}); if it comes from your company's proxy, name its \
                 authority's PEM file in NODE_EXTRA_CA_CERTS"
            ),
            (Some(why), _) => format!("no TLS with {origin}: {why}"),
            (None, Some(io::ErrorKind::ConnectionRefused)) => format!("connection refused by {origin}"),
            (None, Some(io::ErrorKind::ConnectionReset)) => format!("connection reset by {origin}"),
            _ if self.is_dns => format!("the name of {origin} cannot be resolved: {cause}"),
            _ if self.is_connect => format!("no connection to {origin}: {cause}"),
            _ => format!("no answer from {origin}: {cause}"),
        };
        let failure = Failure::new(FailureClass::Transient, message);
        if self.is_connect { failure.unsent() } else { failure }
    }
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
