//! Through which proxy a connection goes, and whose word that is: the only file that names `hyper_util`.
//!
//! reqwest decides it by the same code, but says neither in its errors nor of a variable that it does not understand, which it
//! passes over: behind a firewall that is a connection which is never made, without a reason.

use std::{env, fmt};

use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use crate::error::{Failure, FailureClass};

/// What a proxy is named by, for a destination over https and over http. The first that is set holds.
const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const NO: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// What the environment, or else the platform's settings, said of proxies when connections were first made.
#[derive(Debug)]
pub(super) struct Proxies {
    matcher: Matcher,
    /// Takes whatever `NO_PROXY` leaves.
    others: Matcher,
    https: Option<Named>,
    http: Option<Named>,
}

/// A variable that names a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named {
    variable: &'static str,
    is_usable: bool,
}

/// A proxy on the way to a provider. Shows neither user nor password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    origin: String,
    variable: Option<&'static str>,
    has_credentials: bool,
}

impl Proxies {
    /// Those of this process, as they are now.
    pub fn of_the_process() -> Self {
        let read = |name: &str| env::var(name).ok();
        Self::of(Matcher::from_system(), read)
    }

    fn of(matcher: Matcher, read: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, read(name)?)));
        let named = |names| {
            let (variable, value) = first(names).filter(|(_, value)| !value.is_empty())?;
            Some(Named { variable, is_usable: is_usable(&value) })
        };
        let no = first(NO).map(|(_, value)| value).unwrap_or_default();
        let others = Matcher::builder().all("http://proxy").no(no).build();
        // A program that answers over CGI is given the `Proxy` header of whoever asks as HTTP_PROXY, so none is believed there.
        let is_cgi = read("REQUEST_METHOD").is_some();
        let either = |names| named(names).or_else(|| named(ALL)).filter(|_| !is_cgi);
        Self { matcher, others, https: either(HTTPS), http: either(HTTP) }
    }

    /// The proxy for this URL, if there is one.
    ///
    /// # Errors
    /// [`FailureClass::Auth`], unsent: the variable holds something else. Its value is not shown, for it may hold a password.
    pub fn on_the_way_to(&self, url: &str) -> Result<Option<Proxy>, Failure> {
        let Ok(url) = url.parse::<http::Uri>() else { return Ok(None) };
        let named = if url.scheme_str() == Some("https") { self.https } else { self.http };
        if let Some(Named { variable, is_usable: false }) = named
            && self.others.intercept(&url).is_some()
        {
            let message = format!(
                "{variable}: expected the URL of a proxy, http://host:port or http://user:password@host:port (also https, \
                 socks5, socks5h), in which user and password have @ : / ? # % as %40 %3A %2F %3F %23 %25"
            );
            return Err(Failure::new(FailureClass::Auth, message).unsent());
        }
        Ok(self.matcher.intercept(&url).map(|found| Proxy {
            origin: origin(found.uri()),
            variable: named.map(|named| named.variable),
            has_credentials: has_credentials(&found),
        }))
    }
}

impl Proxy {
    /// Whether it is spoken to in SOCKS.
    pub fn is_socks(&self) -> bool {
        self.origin.starts_with("socks")
    }

    /// Its name, or its address.
    pub fn host(&self) -> Option<&str> {
        let (_, authority) = self.origin.split_once("://")?;
        Some(authority.rsplit_once(':').map_or(authority, |(host, _)| host))
    }

    /// That it wants to know who asks.
    pub fn unauthorised(&self, origin: &str) -> Failure {
        let variable = self.variable.unwrap_or("HTTPS_PROXY");
        let message = if self.has_credentials {
            format!(
                "{self} does not accept its user name and password for a connection to {origin}: check those in {variable}, \
                 where @ : / ? # % in them are %40 %3A %2F %3F %23 %25"
            )
        } else {
            format!(
                "{self} asks for a user name and a password for a connection to {origin}: set {variable} to \
                 http://user:password@host:port"
            )
        };
        Failure::new(FailureClass::Auth, message).unsent()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.variable.unwrap_or("the system's settings");
        write!(f, "the proxy {} ({by})", self.origin)
    }
}

/// Whether it is the URL of a proxy to the code that will read it, and names what it seems to: where a password has an `@` or a `/`
/// as it is, a piece of it is taken for the host or the port.
fn is_usable(value: &str) -> bool {
    let anywhere = http::Uri::from_static("https://host/");
    let Some(found) = Matcher::builder().all(value).build().intercept(&anywhere) else { return false };
    let Some(authority) = found.uri().authority() else { return false };
    let host = authority.host();
    // Nothing stands before the host, and nothing but a number behind it.
    let is_whole = match authority.as_str().strip_prefix(host) {
        Some("") => true,
        Some(port) => port.starts_with(':') && authority.port_u16().is_some(),
        None => false,
    };
    !host.is_empty() && is_whole && value.contains('@') == has_credentials(&found)
}

fn has_credentials(found: &Intercept) -> bool {
    found.basic_auth().is_some() || found.raw_auth().is_some()
}

/// Scheme, host and port, and nothing that may stand before them.
fn origin(url: &http::Uri) -> String {
    let (scheme, host) = (url.scheme_str().unwrap_or("http"), url.host().unwrap_or_default());
    url.port().map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let read =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let first = |names: [&str; 2]| names.into_iter().find_map(read).unwrap_or_default();
        let builder = Matcher::builder().https(first(HTTPS)).http(first(HTTP)).all(first(ALL)).no(first(NO));
        Proxies::of(builder.build(), read)
    }

    fn shown(variables: &[(&str, &str)], url: &str) -> String {
        match proxies(variables).on_the_way_to(url) {
            Ok(None) => "none".into(),
            Ok(Some(proxy)) => proxy.to_string(),
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn a_proxy_is_named_with_the_variable_that_names_it_and_without_a_password() {
        let https = "https://api.openai.com/v1";
        for (variables, expected) in [
            (&[("HTTPS_PROXY", "http://user:pass@proxy:3128")][..], "the proxy http://proxy:3128 (HTTPS_PROXY)"),
            (&[("https_proxy", "proxy:3128")], "the proxy http://proxy:3128 (https_proxy)"),
            (&[("ALL_PROXY", "socks5h://u:p@proxy:1080/")], "the proxy socks5h://proxy:1080 (ALL_PROXY)"),
            (&[("all_proxy", "https://proxy")], "the proxy https://proxy (all_proxy)"),
            (&[("HTTPS_PROXY", ""), ("ALL_PROXY", "http://all:1")], "the proxy http://all:1 (ALL_PROXY)"),
            (&[("HTTP_PROXY", "http://proxy:3128")], "none"),
            (&[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", "openai.com")], "none"),
            (&[("HTTPS_PROXY", "http://proxy:3128"), ("no_proxy", ".openai.com")], "none"),
            (&[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", "*")], "none"),
        ] {
            assert_eq!(shown(variables, https), expected, "{variables:?}");
        }
        assert_eq!(
            shown(&[("http_proxy", "http://proxy:1")], "http://example.com"),
            "the proxy http://proxy:1 (http_proxy)"
        );
    }

    #[test]
    fn a_program_over_cgi_is_told_of_no_proxy() {
        let variables = [("HTTPS_PROXY", "no proxy"), ("REQUEST_METHOD", "GET")];
        assert_eq!(shown(&variables, "https://api.openai.com"), "none");
    }

    #[test]
    fn a_variable_that_names_no_proxy_is_an_error_and_its_value_is_not_shown() {
        for value in [
            "http://us er:secret@proxy:1",
            "http://user:sec@ret@proxy:1",
            "ftp://user:secret@proxy:1",
            "http://user:secret/word@proxy:1",
            "http://user:12/secret@proxy:1",
            "/",
            "http://u:secret@:1",
        ] {
            let message = shown(&[("HTTPS_PROXY", value)], "https://api.openai.com");
            assert!(message.starts_with("HTTPS_PROXY: expected the URL of a proxy"), "{value}: {message}");
            assert!(!message.contains("secret") && !message.contains("ret@"), "{message}");
            // Where it is not asked for, it is in nobody's way.
            assert_eq!(shown(&[("HTTPS_PROXY", value)], "http://api.openai.com"), "none");
            assert_eq!(shown(&[("HTTPS_PROXY", value), ("NO_PROXY", "openai.com")], "https://api.openai.com"), "none");
        }
    }
}
