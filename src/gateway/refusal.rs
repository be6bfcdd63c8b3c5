//! What is said instead of an answer: OpenAI's statuses and its error shape, for every way a call can fail.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::{Value, json};

use super::hidden::Hidden;
use super::response::{Head, Response, is_header};
use crate::error::{Error, ErrorKind, Failure, FailureClass, Invalid, Phase, milliseconds};
use crate::route::Hosts;

/// OpenAI's `type` of what the caller can mend.
const REQUEST: &str = "invalid_request_error";
/// And of what it cannot.
const SERVER: &str = "server_error";

const NOT_CACHED: &str = "only the cache was to answer, and it does not have this request";
const NOT_READ: &str = "only the cache was to answer, and could not be looked into";

/// An answer in OpenAI's error shape.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    kind: Box<str>,
    code: Option<Box<str>>,
    param: Option<Box<str>>,
    message: String,
    headers: Vec<(&'static str, String)>,
}

impl Refusal {
    fn new(status: u16, kind: &str, code: impl Into<Option<&'static str>>, message: impl Into<String>) -> Self {
        let code = code.into().map(Box::from);
        Self { status, kind: kind.into(), code, param: None, message: message.into(), headers: Vec::new() }
    }

    /// A body that cannot be what is asked for.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(400, REQUEST, None, message)
    }

    /// A field of the body that cannot be what is asked for.
    pub fn field(param: &str, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::request(message) }
    }

    /// A path that leads nowhere.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, REQUEST, "unknown_url", message)
    }

    /// A group that is not there.
    #[must_use]
    pub fn no_model(name: &str) -> Self {
        let message = format!("the model \"{name}\" does not exist: it is the name of a group");
        Self { param: Some("model".into()), ..Self::new(404, REQUEST, "model_not_found", message) }
    }

    pub(super) fn method(method: &str, allowed: &'static str) -> Self {
        let refusal =
            Self::new(405, REQUEST, "method_not_allowed", format!("{method} is not allowed here, only {allowed}"));
        refusal.header("allow", allowed.to_owned())
    }

    pub(super) fn content_type(given: &str) -> Self {
        let message = format!("the content type of a request is application/json, this one's is {given}");
        Self::new(415, REQUEST, "unsupported_media_type", message)
    }

    /// A body of more bytes than are taken.
    #[must_use]
    pub fn too_large(limit: f64) -> Self {
        Self::new(413, REQUEST, "request_too_large", format!("the body is larger than {limit} bytes"))
    }

    /// Somebody who may not ask.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(401, REQUEST, "invalid_api_key", "the key is missing or wrong")
    }

    /// A body of which nobody can have the bytes.
    #[must_use]
    pub fn unreadable() -> Self {
        Self::request(
            "the body cannot be read: it broke off, is no bytes, or was read before (read a `clone()` of the request)",
        )
    }

    /// A client that has left: for logs, because nobody reads it.
    #[must_use]
    pub fn gone() -> Self {
        Self::new(499, REQUEST, "client_closed_request", "the client closed the request")
    }

    fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// OpenAI's error object.
    #[must_use]
    pub fn error(&self) -> Value {
        json!({ "message": self.message, "type": self.kind, "param": self.param, "code": self.code })
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let body = json!({ "error": refusal.error() }).to_string();
        let mut head = Head::new(refusal.status, "application/json");
        head.headers.extend(refusal.headers);
        Self { head, body }
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        let param = invalid.field.strip_prefix("request").map(|field| field.trim_start_matches('.'));
        let param = param.filter(|param| !param.is_empty()).map(Box::from);
        Self { param, ..Self::request(invalid.to_string()) }
    }
}

impl Refusal {
    /// What is said instead of an answer that failed, to somebody who is not to know where the providers of a router are.
    #[must_use]
    pub fn of(error: &Error, hosts: &Hosts) -> Self {
        let attempts = error.attempts();
        let refusal = of(error);
        let deployment = match error.kind() {
            ErrorKind::Provider { deployment, .. } | ErrorKind::Interrupted { deployment, .. } => Some(deployment),
            _ => None,
        };
        let names = attempts.iter().map(|attempt| &attempt.deployment).chain(deployment);
        let mut names: Vec<_> = names.map(String::as_str).collect();
        // The longest first, because it may begin with another.
        names.sort_unstable_by_key(|name| std::cmp::Reverse(name.len()));
        names.dedup();
        let (hosts, is_trouble) = (hosts.all(), refusal.status >= 500);
        let refusal = match error.kind() {
            // In the client's own words.
            ErrorKind::Invalid(_) | ErrorKind::NoGroup { .. } => refusal,
            _ => refusal.without(&Hidden { hosts: &hosts, names, is_trouble }),
        };
        let refusal = match attempts.last().map(|last| &last.deployment) {
            Some(deployment) if is_header(deployment) => refusal.header("x-thryd-deployment", deployment.clone()),
            _ => refusal,
        };
        let refusal = refusal.header("x-thryd-attempts", attempts.len().to_string());
        let refusal = match error.retry_after() {
            // Rounded up: who comes too early is refused again.
            Some(wait) => {
                let wait = milliseconds(wait);
                let seconds = wait.div_ceil(1000).to_string();
                refusal.header("retry-after", seconds).header("retry-after-ms", wait.to_string())
            }
            None => refusal,
        };
        // OpenAI's clients try every 408, 409, 429 and 5xx again unless they are told not to.
        if error.is_retryable() { refusal } else { refusal.header("x-should-retry", "false".to_owned()) }
    }

    /// Everything in it may be in the words of a provider.
    fn without(self, hidden: &Hidden<'_>) -> Self {
        let text = |text: Box<str>| hidden.without(&text).into_boxed_str();
        let (kind, code, param) = (text(self.kind), self.code.map(text), self.param.map(text));
        Self { kind, code, param, message: hidden.without(&self.message), ..self }
    }
}

fn of(error: &Error) -> Refusal {
    let message = || error.to_string();
    match error.kind() {
        ErrorKind::Invalid(invalid) => invalid.clone().into(),
        ErrorKind::NoGroup { group, .. } => Refusal::no_model(group),
        ErrorKind::Unsupported(message) => Refusal::new(400, REQUEST, "unsupported", message),
        // Without what was said to others, which is why its deployments rest.
        ErrorKind::RateLimited { group, retry_after, .. } => {
            let (group, retry_after) = (group.clone(), *retry_after);
            rate_limited(Error::from(ErrorKind::RateLimited { group, retry_after, reason: None }).to_string())
        }
        ErrorKind::TooLarge { field: "contextWindow", .. } => too_long(message()),
        ErrorKind::TooLarge { .. } => Refusal::new(413, REQUEST, "request_too_large", message()),
        // Not the provider's: the caller's request stood in line for too long.
        ErrorKind::Timeout { phase: Phase::Queue, .. } => Refusal::new(408, SERVER, "timeout", message()),
        ErrorKind::Timeout { .. } => timeout(message()),
        ErrorKind::Provider { deployment, failure } => provider(deployment, failure, message()),
        ErrorKind::Interrupted { deployment, failure, .. } if is_hosts_own(failure.class) => {
            let message =
                format!("{deployment} ended the stream early: the account or the key of this host is refused");
            Refusal::new(502, SERVER, "stream_interrupted", message)
        }
        ErrorKind::Interrupted { .. } => Refusal::new(502, SERVER, "stream_interrupted", message()),
        ErrorKind::Exhausted { errors, .. } => {
            let said: Vec<_> = errors.iter().map(of).collect();
            let message = match said.last() {
                None => message(),
                Some(last) => format!("all {} attempts failed; the last: {}", said.len(), last.message),
            };
            let is_silence = !said.is_empty() && said.iter().all(|refusal| refusal.status == 504);
            if is_silence { timeout(message) } else { broken(message) }
        }
        // Without what is there instead, which others asked. In the words of HTTP, what `only-if-cached` does not find is a gateway that timed out.
        ErrorKind::NotCached { .. } => Refusal::new(504, SERVER, "not_cached", NOT_CACHED),
        // The host's own affair is where its cache is.
        ErrorKind::CacheUnread { .. } => Refusal::new(504, SERVER, "not_cached", NOT_READ),
        ErrorKind::Closed(_) => Refusal::new(503, SERVER, "closed", message()),
        ErrorKind::Cancelled => Refusal::gone(),
        // The host's own affair: paths and providers are not the client's to know.
        ErrorKind::NoProvider(_) | ErrorKind::Cache { .. } => internal("the router is not set up to answer this"),
        ErrorKind::Bug(_) => internal("the router failed"),
    }
}

fn internal(message: &str) -> Refusal {
    Refusal::new(500, SERVER, "internal_error", message)
}

fn rate_limited(message: impl Into<String>) -> Refusal {
    Refusal::new(429, "rate_limit_error", "rate_limit_exceeded", message)
}

fn timeout(message: impl Into<String>) -> Refusal {
    Refusal::new(504, SERVER, "timeout", message)
}

fn broken(message: impl Into<String>) -> Refusal {
    Refusal::new(502, SERVER, "provider_error", message)
}

fn too_long(message: impl Into<String>) -> Refusal {
    let refusal = Refusal::new(400, REQUEST, "context_length_exceeded", message);
    Refusal { param: Some("messages".into()), ..refusal }
}

/// What a provider said is passed on if it is about the request; its own troubles are a bad gateway.
fn provider(deployment: &str, failure: &Failure, message: String) -> Refusal {
    match failure.class {
        FailureClass::Rejected | FailureClass::Unsupported | FailureClass::Elsewhere => {
            let status = failure.status.filter(|status| (400..500).contains(status)).unwrap_or(400);
            said(failure, Refusal::new(status, REQUEST, None, message))
        }
        // Under one code, whatever the provider calls it: clients look for that to shorten the request.
        FailureClass::TooLong => {
            let refusal = too_long(message);
            Refusal { code: refusal.code.clone(), ..said(failure, refusal) }
        }
        FailureClass::RateLimited => rate_limited(message),
        class if is_hosts_own(class) => {
            let is_missing = matches!(failure.status, Some(300..=399 | 404 | 405 | 410 | 501));
            let why =
                if is_missing { "its model or its address is wrong" } else { "its account or its key is refused" };
            broken(format!("{deployment} does not answer this host: {why}"))
        }
        _ if failure.timeout.is_some() => timeout(message),
        _ => broken(message),
    }
}

/// Whether it is the host's key or account that was refused, not the client's: what the provider says of it is not the
/// client's to know.
fn is_hosts_own(class: FailureClass) -> bool {
    matches!(class, FailureClass::Auth | FailureClass::Quota)
}

/// The provider's own words, as far as they are in OpenAI's shape.
fn said(failure: &Failure, refusal: Refusal) -> Refusal {
    #[derive(Deserialize)]
    struct Said {
        error: Own,
    }
    #[derive(Deserialize)]
    struct Own {
        message: String,
        #[serde(default, rename = "type")]
        kind: Value,
        #[serde(default)]
        param: Value,
        #[serde(default)]
        code: Value,
    }
    let body = failure.body.as_deref().unwrap_or_default();
    let Ok(Said { error }) = serde_json::from_str(body) else { return refusal };
    let text = |value: Value| value.as_str().map(Box::from);
    Refusal {
        kind: text(error.kind).unwrap_or(refusal.kind),
        code: text(error.code).or(refusal.code),
        param: text(error.param),
        message: error.message,
        ..refusal
    }
}
