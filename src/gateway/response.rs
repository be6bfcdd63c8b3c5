//! An answer over HTTP: status, headers, body; and the headers that every answer of a router has.

use serde::Serialize;

use crate::route::{Answer, CacheStatus, Origin};

/// What comes before the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
}

/// A whole answer.
#[derive(Clone, Debug, Serialize)]
pub struct Response {
    /// What comes before the body.
    #[serde(flatten)]
    pub head: Head,
    /// The body.
    pub body: String,
}

impl Response {
    /// 200 with JSON.
    #[must_use]
    pub fn json(body: String) -> Self {
        Self { head: Head::new(200, "application/json"), body }
    }
}

impl Head {
    pub(super) fn new(status: u16, content_type: &str) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())] }
    }

    /// The same with where the answer comes from.
    pub(super) fn from(mut self, origin: &Origin) -> Self {
        let cache = match origin.cache {
            CacheStatus::Memory => "memory",
            CacheStatus::Disk => "disk",
            CacheStatus::Redis => "redis",
            CacheStatus::Joined => "joined",
            CacheStatus::Miss => "miss",
            CacheStatus::Off => "off",
        };
        if is_header(&origin.deployment) {
            self.headers.push(("x-thryd-deployment", origin.deployment.clone()));
        }
        self.headers.push(("x-thryd-cache", cache.to_owned()));
        self.headers.push(("x-thryd-attempts", origin.attempts.to_string()));
        self
    }
}

/// Whether a text can be a header: whoever names a provider may use letters that no header has.
pub(super) fn is_header(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Where an answer comes from.
pub(super) fn origin<K>(answer: &Answer<K>) -> Origin {
    Origin { deployment: answer.deployment.clone(), cache: answer.cache, attempts: answer.attempts.len() }
}
