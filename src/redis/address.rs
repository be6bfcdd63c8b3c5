//! Where a Redis is: one server, servers behind Sentinels, or a Cluster, by the URLs that other clients take.
//!
//! ```text
//! redis://[user[:password]@]host[:port][/database]         one server; rediss:// over TLS, also below
//! redis+sentinel://[…@]host[:port][,host…]/master[/database]   whatever these Sentinels call the master of that name
//! redis+cluster://[…@]host[:port][,host…]                  a Cluster; also redis:// with several hosts
//! ```
//!
//! `redis-sentinel` and `redis-cluster` are the same, with `#master` or `?sentinelMasterId=master` for the name, as are `valkey` and
//! `valkeys` for `redis` and `rediss`. Sentinels take other credentials than servers: `?sentinel_username=…&sentinel_password=…`.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::error::Invalid;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

const EXPECTED: &str = "a redis:// or rediss:// URL, redis+sentinel://host,…/master or redis+cluster://host,…";

const PARAMETERS: &str = "no parameters but db, sentinelMasterId, sentinel_username and sentinel_password";

/// What is there twice may be a part of a password that is not encoded.
const ONCE: &str = "one name of the master and one number of a database";

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Endpoint {
    pub host: String,
    pub port: u16,
}

/// Who one is to a server. Never shown.
#[derive(Clone, Default)]
pub(super) struct Credentials {
    pub username: Option<String>,
    pub password: Option<SecretString>,
}

/// What answers at an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Layout {
    /// This server.
    Server(Endpoint),
    /// Whatever one of these says is the master of this name.
    Sentinels { sentinels: Vec<Endpoint>, master: String, credentials: Credentials },
    /// A Cluster of which these are some nodes.
    Cluster(Vec<Endpoint>),
}

/// Where a Redis is, and with which credentials. Shown without them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    pub(super) layout: Layout,
    pub(super) is_secure: bool,
    pub(super) credentials: Credentials,
    pub(super) database: u32,
}

impl Address {
    /// Reads a URL; `path` is what messages call it.
    ///
    /// # Errors
    /// If it is not one of the forms that are described above. The message shows it without its credentials.
    pub fn parse(path: &str, url: &str) -> Result<Self, Invalid> {
        let wrong = |expected: &str| Invalid::type_error(path, expected, masked(url));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong(EXPECTED))?;
        let scheme = scheme.to_ascii_lowercase();
        let (is_secure, kind) = match scheme.strip_prefix("redis").or_else(|| scheme.strip_prefix("valkey")) {
            Some(kind) => match kind.strip_prefix('s') {
                Some(kind) if kind.is_empty() || kind.starts_with(['+', '-']) => (true, kind),
                _ => (false, kind),
            },
            None => return Err(wrong(EXPECTED)),
        };
        let (user, rest) = apart(rest).ok_or_else(|| wrong("parameters without an @, which is %40 there"))?;
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, segments) = rest.split_once('/').unwrap_or((rest, ""));
        let mut segments: Vec<&str> = segments.split('/').filter(|segment| !segment.is_empty()).collect();
        let credentials = match user {
            None => Credentials::default(),
            Some(user) => Credentials::read(user).ok_or_else(|| wrong("credentials that are percent-encoded"))?,
        };
        let mut parameters = Parameters::read(query).ok_or_else(|| wrong("parameters that are percent-encoded"))?;
        let is_sentinel = matches!(kind, "+sentinel" | "-sentinel");
        let port = if is_sentinel { SENTINEL_PORT } else { PORT };
        let hosts = hosts.split(',').map(|host| Endpoint::read(host, port)).collect::<Option<Vec<_>>>();
        let mut hosts = hosts.ok_or_else(|| wrong("host[:port], separated by commas"))?;
        if !fragment.is_empty() && !is_sentinel {
            return Err(wrong("nothing after a #, which is %23 in a password"));
        }
        let layout = match kind {
            _ if is_sentinel => {
                let fragment = (!fragment.is_empty()).then(|| decoded(fragment)).flatten();
                let parameter = parameters.take("sentinelMasterId");
                if fragment.is_some() && parameter.is_some() {
                    return Err(wrong(ONCE));
                }
                let named = fragment.or(parameter);
                let named = named.or_else(|| (!segments.is_empty()).then(|| decoded(segments.remove(0))).flatten());
                let master = named.filter(|name| !name.is_empty());
                Layout::Sentinels {
                    sentinels: hosts,
                    master: master.ok_or_else(|| wrong("the name of the master: redis+sentinel://host,…/master"))?,
                    credentials: Credentials {
                        username: parameters.take("sentinel_username"),
                        password: parameters.take("sentinel_password").map(SecretString::from),
                    },
                }
            }
            "" if hosts.len() == 1 => Layout::Server(hosts.remove(0)),
            "" | "+cluster" | "-cluster" => Layout::Cluster(hosts),
            _ => return Err(wrong(EXPECTED)),
        };
        let database = parameters.take("db").or_else(|| parameters.take("database"));
        let path = segments.first().map(|text| (*text).to_owned());
        if database.is_some() && path.is_some() {
            return Err(wrong(ONCE));
        }
        let database = database.or(path);
        let database = database.map_or(Ok(0), |text| text.parse().map_err(|_| wrong("the number of a database")))?;
        if segments.len() > 1 {
            return Err(wrong(EXPECTED));
        }
        if database != 0 && matches!(layout, Layout::Cluster(_)) {
            return Err(wrong("database 0, the only one that a Cluster has"));
        }
        // Not by its name, which may be a part of a password.
        if parameters.0.is_empty() {
            Ok(Self { layout, is_secure, credentials, database })
        } else {
            Err(wrong(PARAMETERS))
        }
    }
}

impl Endpoint {
    /// `host[:port]` or `[IPv6][:port]`.
    fn read(text: &str, port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                (host, if rest.is_empty() { port } else { rest.strip_prefix(':')?.parse().ok()? })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, port.parse().ok()?),
                None => (text, port),
            },
        };
        let is_host = !host.is_empty() && !host.contains(|it: char| it.is_whitespace() || it == '@' || it == '/');
        is_host.then(|| Self { host: host.to_owned(), port })
    }

    /// `host:port` as servers write it, IPv6 without brackets. Where the host is missing, it is `same`.
    pub fn redirected(text: &str, same: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = if host.is_empty() || host == "?" { same } else { host };
        Some(Self { host: host.trim_matches(['[', ']']).to_owned(), port: port.parse().ok()? })
    }
}

impl Credentials {
    fn read(text: &str) -> Option<Self> {
        let (username, password) = match text.split_once(':') {
            Some((username, password)) => (username, Some(decoded(password)?)),
            None => (text, None),
        };
        let username = decoded(username)?;
        Some(Self {
            username: (!username.is_empty()).then_some(username),
            password: password.filter(|password| !password.is_empty()).map(SecretString::from),
        })
    }

    fn parts(&self) -> (Option<&str>, Option<&str>) {
        (self.username.as_deref(), self.password.as_ref().map(ExposeSecret::expose_secret))
    }

    /// The text without the password and the user, which a server may repeat.
    pub fn taken_out_of(&self, text: String) -> String {
        let (username, password) = self.parts();
        let text = match password {
            // One that is part of any text is told by nothing but its absence.
            Some(password) if password.len() > 3 => text.replace(password, "***"),
            _ => text,
        };
        // As those say it that refuse a command, since Redis 7.2.
        match username {
            Some(username) => text.replace(&format!("User {username} has"), "this user has"),
            None => text,
        }
    }
}

/// The parameters of a URL that nobody has asked for yet.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn read(text: &str) -> Option<Self> {
        let pair = |text: &str| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            Some((decoded(name)?, decoded(value)?))
        };
        text.split('&').filter(|text| !text.is_empty()).map(pair).collect::<Option<_>>().map(Self)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(place).1)
    }
}

/// Undoes percent-encoding; `None` if it is none, or hides no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok().filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// User and password, and what follows them: up to the last `@`, since they may hold anything where they are not encoded, and hosts
/// may not hold one. `None` if it may as well be one of a parameter.
fn apart(rest: &str) -> Option<(Option<&str>, &str)> {
    let Some((user, rest)) = rest.rsplit_once('@') else { return Some((None, rest)) };
    let has_parameter = user.split_once('?').is_some_and(|(_, after)| after.contains('='));
    (!has_parameter).then_some((Some(user), rest))
}

/// A URL that may be wrong in any way, without what may be secret in it: credentials and parameters, or what may be meant as such.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.is_empty() { "\"\"".to_owned() } else { "a text without ://".to_owned() };
    };
    let is_scheme = |it: u8| it.is_ascii_alphanumeric() || b"+-.".contains(&it);
    if !scheme.bytes().all(is_scheme) {
        return "a text before :// that is no scheme".to_owned();
    }
    let rest = apart(rest).map_or("…", |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let hosts = rest.split('/').next().unwrap_or_default();
    // What should be a port may be the password of somebody who forgot the host.
    let is_shown = hosts.split(',').all(|host| Endpoint::read(host, PORT).is_some());
    format!("{:?}", format!("{scheme}://{}", if is_shown { rest } else { "…" }))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.is_secure { "s" } else { "" };
        let list = |hosts: &[Endpoint]| hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        match &self.layout {
            Layout::Server(server) => write!(f, "redis{s}://{server}")?,
            Layout::Sentinels { sentinels, master, .. } => {
                write!(f, "redis{s}+sentinel://{}/{master}", list(sentinels))?;
            }
            Layout::Cluster(nodes) => write!(f, "redis{s}+cluster://{}", list(nodes))?,
        }
        if self.database > 0 { write!(f, "/{}", self.database) } else { Ok(()) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.password.is_some() { "Credentials(***)" } else { "Credentials" })
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Credentials {}

impl std::hash::Hash for Credentials {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

#[cfg(test)]
mod tests;
