//! Where a request goes: its URL, read once, and whether a key may go there.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use super::HttpRequest;
use super::client::{Url, unusable};
use crate::error::Failure;

/// Most URLs that are kept read. A provider has one or two, or one for each of its models.
const MAX_KEPT: usize = 256;

/// A URL that requests go to. Not printed: there may be a key in it.
pub(super) struct Target {
    pub url: Url,
    /// Scheme, host and port: what of it may be said.
    pub origin: String,
    pub is_tls: bool,
    /// Whether it is this machine.
    pub is_local: bool,
    /// Whether there is, or may be, a key in the URL itself.
    has_key: bool,
}

impl Target {
    /// The target, if the request may go there.
    pub fn of(request: &HttpRequest) -> Result<Arc<Self>, Failure> {
        let target = Self::at(&request.url)?;
        target.check(request)?;
        Ok(target)
    }

    /// The target of what carries no key.
    pub fn at(url: &str) -> Result<Arc<Self>, Failure> {
        static KEPT: Mutex<Option<HashMap<String, Arc<Target>>>> = Mutex::new(None);
        let lock = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = lock().as_ref().and_then(|kept| kept.get(url).cloned());
        if let Some(target) = kept {
            return Ok(target);
        }
        let target = Arc::new(Self::read(url)?);
        if !target.has_key {
            let mut kept = lock();
            let kept = kept.get_or_insert_default();
            if kept.len() >= MAX_KEPT {
                kept.clear();
            }
            kept.insert(url.to_owned(), Arc::clone(&target));
        }
        Ok(target)
    }

    fn read(url: &str) -> Result<Self, Failure> {
        let url = Url::parse(url).map_err(|error| unusable(format!("baseUrl: expected a URL: {error}")))?;
        let is_tls = match url.scheme() {
            "https" => true,
            "http" => false,
            scheme => return Err(unusable(format!("baseUrl: expected http or https, got {scheme}"))),
        };
        let in_url = !url.username().is_empty() || url.password().is_some();
        let in_query = url.query_pairs().any(|(name, _)| name.to_ascii_lowercase().ends_with("key"));
        let (origin, is_local) = (url.origin().ascii_serialization(), is_loopback(&url));
        Ok(Self { url, origin, is_tls, is_local, has_key: in_url || in_query })
    }

    /// Refuses to let a key be overheard.
    fn check(&self, request: &HttpRequest) -> Result<(), Failure> {
        let may_be_overheard = !self.is_tls && !self.is_local && !request.allow_insecure;
        if may_be_overheard && (self.has_key || request.headers.iter().any(|(_, text)| text.is_secret())) {
            let origin = &self.origin;
            let message = format!("a key is not sent over plain http to {origin}: use https, or set allowInsecureHttp");
            return Err(unusable(message));
        }
        Ok(())
    }
}

/// Whether the URL names this machine. A name that merely resolves to it does not count: who answers for it may change.
fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str().map(|host| host.trim_end_matches('.')) else { return false };
    let v6 = || host.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || v6().is_some_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        let here = [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "127.1",
            "0x7f.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ];
        let there = [
            "example.com",
            "localhost.example.com",
            "notlocalhost",
            "127.0.0.1.example.com",
            "128.0.0.1",
            "0.0.0.0",
            "[::2]",
            "[::ffff:10.0.0.1]",
            "localhost@example.com",
            "127.0.0.1:80@example.com",
            "10.0.0.1",
        ];
        for host in here {
            assert!(is_loopback(&Url::parse(&format!("http://{host}/v1")).unwrap()), "{host}");
        }
        for host in there {
            assert!(!is_loopback(&Url::parse(&format!("http://{host}/v1")).unwrap()), "{host}");
        }
    }
}
