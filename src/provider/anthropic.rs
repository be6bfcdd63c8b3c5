//! Anthropic's Messages API, <https://platform.claude.com/docs/en/api/messages>: OpenAI's chat completions to it and
//! back.

mod answer;
mod conversation;
mod request;
mod stream;

use std::sync::Arc;

use bytes::Bytes;
use memchr::memmem;

use super::openai::{Settings, host, join};
use super::{Call, EventReader, Outgoing, Provider};
use crate::connections::{HeaderText, HttpRequest};
use crate::constants::MAX_ERROR_BODY_BYTES;
use crate::error::{ErrorKind, Failure, FailureClass, Result};
use crate::kinds::{Body, Completion, Kind, Usage};
use crate::tracker::Tracker;

/// Below the host; a base URL may say the version, too.
const PATH: &str = "/v1/messages";

/// The version that the mapping was written for, <https://platform.claude.com/docs/en/api/versioning>.
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

/// What the messages of its answers have beside OpenAI's fields.
const BLOCKS: [&str; 2] = ["thinking_blocks", "content_blocks"];

/// Takes out of a conversation what only Anthropic reads, so that others can go on with it.
pub(super) fn forget_blocks(body: &mut Body) {
    let text = body.get("messages").unwrap_or_default();
    if memmem::find(text.as_bytes(), b"_blocks\"").is_none() {
        return;
    }
    let Ok(mut messages) = serde_json::from_str::<Vec<Body>>(text) else { return };
    let mut is_changed = false;
    for message in &mut messages {
        for name in BLOCKS {
            is_changed |= message.remove(name).is_some();
        }
    }
    if is_changed {
        body.set("messages", &messages);
    }
}

/// A provider that speaks Anthropic's dialect.
#[derive(Debug)]
pub(super) struct Anthropic {
    name: String,
    url: String,
    headers: Arc<Vec<(String, HeaderText)>>,
    allow_insecure: bool,
    max_response_bytes: usize,
    account: Option<Tracker>,
    identity: [u8; 32],
    warms_up: bool,
}

impl Anthropic {
    pub fn new(settings: Settings) -> Self {
        let mut headers = settings.headers;
        let has = |headers: &[(String, HeaderText)], name| headers.iter().any(|(given, _)| given == name);
        if let Some(key) = settings.key.filter(|_| !has(&headers, "x-api-key") && !has(&headers, "authorization")) {
            headers.push(("x-api-key".to_owned(), HeaderText::Secret(key)));
        }
        if !has(&headers, VERSION.0) {
            headers.push((VERSION.0.to_owned(), HeaderText::Plain(VERSION.1.to_owned())));
        }
        Self {
            name: settings.name,
            url: join(&settings.base_url, PATH),
            headers: Arc::new(headers),
            allow_insecure: settings.allow_insecure,
            max_response_bytes: settings.max_response_bytes,
            account: settings.account,
            identity: settings.identity,
            warms_up: settings.warms_up,
        }
    }
}

impl Provider for Anthropic {
    fn name(&self) -> &str {
        &self.name
    }

    fn host(&self) -> Option<&str> {
        host(&self.url)
    }

    fn warm_up(&self) -> Option<&str> {
        self.warms_up.then_some(&*self.url)
    }

    fn supports(&self, kind: &str) -> bool {
        kind == Completion::NAME
    }

    fn write(&self, call: &Call<'_>) -> Result<Outgoing> {
        if !self.supports(call.kind) {
            let message = format!("provider \"{}\" has no {} endpoint", self.name, call.kind);
            return Err(ErrorKind::Unsupported(message).into());
        }
        match request::write(call) {
            Ok(body) => Ok(Outgoing::Http(HttpRequest {
                url: self.url.clone(),
                headers: Arc::clone(&self.headers),
                body,
                allow_insecure: self.allow_insecure,
                max_response_bytes: self.max_response_bytes,
            })),
            // As if it had refused the request itself, so that those who can say it are asked.
            Err(what) => {
                let message = format!("Anthropic's Messages API does not take {what}");
                let failure = Failure::new(FailureClass::Unsupported, message).unsent();
                Ok(Outgoing::Local(Box::pin(std::future::ready(Err(failure)))))
            }
        }
    }

    fn read(&self, _call: &Call<'_>, answer: Bytes) -> Result<Bytes, Failure> {
        answer::read(&answer).map_err(|reason| unreadable("the answer cannot be used", &reason, &answer))
    }

    fn event_reader(&self, _call: &Call<'_>) -> Option<Box<dyn EventReader>> {
        Some(Box::new(stream::Reader::default()))
    }

    /// What was read from its cache does not count, <https://platform.claude.com/docs/en/api/rate-limits>.
    fn charged_tokens(&self, usage: &Usage) -> u64 {
        usage.total_tokens.saturating_sub(usage.cached_prompt_tokens.unwrap_or(0))
    }

    fn account(&self) -> Option<Tracker> {
        self.account.clone()
    }

    fn identity(&self) -> [u8; 32] {
        self.identity
    }
}

fn unreadable(what: &str, reason: &str, said: &[u8]) -> Failure {
    let mut failure = Failure::new(FailureClass::Truncated, format!("{what}: {reason}"));
    failure.body = Some(String::from_utf8_lossy(&said[..said.len().min(MAX_ERROR_BODY_BYTES)]).into_owned());
    failure
}
