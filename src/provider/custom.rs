//! Providers that users write: what they hand back is brought into the kinds' wire forms here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::failure::presentable;
use super::options::check_name;
use super::{Call, EventStream, LocalFuture, Outgoing, Provider, Reply, classify, loose};
use crate::connections::Rejection;
use crate::constants::MAX_RESPONSE_BYTES;
use crate::error::{Failure, FailureClass, Invalid, Result};
use crate::tracker::{Limits, Tracker};

/// One call to a provider that a user wrote.
#[derive(Clone, Debug)]
pub struct CustomCall {
    /// [`Kind::NAME`](crate::Kind::NAME).
    pub kind: &'static str,
    /// The model's name, without the provider's.
    pub model: String,
    /// The request as JSON: the kind's wire form, `model` included.
    pub body_json: String,
    /// Whether the answer is wanted piece by piece. A handler may give it whole all the same.
    pub is_stream: bool,
}

/// What a user wrote.
pub trait CustomHandler: Send + Sync + 'static {
    /// Answers. Dropping the future, or the stream that it gives, cancels.
    ///
    /// The answer, and each event of a stream, is JSON text of what the user gave: for completions a string, an object
    /// with `choices`, or one with `content` or `tool_calls`; for model responses the same, with `output` in the place of
    /// `choices`; for embeddings an array of vectors; for rerank an array of `{ index, score }`. An error that the user threw is [`CustomProvider::thrown`].
    fn call(&self, call: CustomCall) -> LocalFuture;
}

/// A provider around a [`CustomHandler`].
pub struct CustomProvider {
    name: String,
    kinds: Vec<String>,
    handler: Arc<dyn CustomHandler>,
    account: Option<Tracker>,
}

impl CustomProvider {
    /// A provider of this name for kinds of these names, e.g. `completion`.
    ///
    /// # Errors
    /// If the name is empty or has a `::`, or there is no kind.
    pub fn new<T: Into<String>>(
        name: impl Into<String>,
        kinds: impl IntoIterator<Item = T>,
        handler: Arc<dyn CustomHandler>,
    ) -> Result<Self, Invalid> {
        let name = name.into();
        check_name("provider.name", &name)?;
        let kinds: Vec<String> = kinds.into_iter().map(Into::into).collect();
        if kinds.is_empty() {
            return Err(Invalid::type_error("provider", "one of complete, respond, embed and rerank", "none of them"));
        }
        Ok(Self { name, kinds, handler, account: None })
    }

    /// The same provider with limits of its own, charged by every deployment on it beside theirs. Default: none.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.account = (limits != Limits::default()).then(|| Tracker::new(limits));
        self
    }

    /// The failure for an error that a handler threw: with a status it is what an HTTP answer of that status would be;
    /// without one it is worth another try. What looks like a key is masked.
    #[must_use]
    pub fn thrown(status: Option<u16>, message: &str, retry_after: Option<Duration>) -> Failure {
        let mut headers = HeaderMap::new();
        if let Some(delay) = retry_after {
            headers.insert("retry-after-ms", HeaderValue::from(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)));
        }
        let mut failure = match status {
            Some(status) => classify(&Rejection { status, headers: &headers, body: message }),
            None => presentable(Failure::new(FailureClass::Transient, message)),
        };
        failure.retry_after = failure.retry_after.or(retry_after);
        failure
    }
}

impl fmt::Debug for CustomProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomProvider").field("name", &self.name).field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

impl Provider for CustomProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn supports(&self, kind: &str) -> bool {
        self.kinds.iter().any(|name| name == kind)
    }

    fn account(&self) -> Option<Tracker> {
        self.account.clone()
    }

    fn write(&self, call: &Call<'_>) -> Result<Outgoing> {
        let mut body = call.body.clone();
        // Of what it answers, and how, the handler itself is the judge.
        body.remove("stream_options");
        let body = body.write(&[("model", call.model)]);
        let asked = CustomCall {
            kind: call.kind,
            model: call.model.to_owned(),
            body_json: String::from_utf8_lossy(&body).into_owned(),
            is_stream: call.is_stream,
        };
        let shaping = Shaping { provider: self.name.clone(), kind: call.kind, model: asked.model.clone() };
        let handler = Arc::clone(&self.handler);
        Ok(Outgoing::Local(Box::pin(async move {
            match handler.call(asked).await.map_err(presentable)? {
                Reply::Whole(answer) => Ok(Reply::Whole(shaping.whole(&answer)?)),
                Reply::Events(events) => match loose::Streamed::new(shaping.kind, &shaping.model) {
                    Some(streamed) => Ok(Reply::Events(shaping.events(events, streamed))),
                    None => Err(shaping.garbage("expected one answer, got a stream", "")),
                },
            }
        })))
    }
}

/// Brings what a handler gave into the wire form.
struct Shaping {
    provider: String,
    kind: &'static str,
    model: String,
}

impl Shaping {
    fn garbage(&self, reason: &str, given: &str) -> Failure {
        let mut failure = Failure::new(FailureClass::Truncated, format!("provider \"{}\": {reason}", self.provider));
        failure.body = Some(given.to_owned()).filter(|body| !body.is_empty());
        presentable(failure)
    }

    fn parse(&self, given: &str) -> Result<Value, Failure> {
        serde_json::from_str(given).map_err(|error| self.garbage(&format!("expected JSON: {error}"), given))
    }

    /// Whether so many bytes are an answer that is taken.
    fn check_size(&self, bytes: usize) -> Result<(), Failure> {
        if bytes <= MAX_RESPONSE_BYTES {
            return Ok(());
        }
        Err(self.garbage(&format!("the answer is longer than {} MiB", MAX_RESPONSE_BYTES >> 20), ""))
    }

    fn whole(&self, given: &Bytes) -> Result<Bytes, Failure> {
        self.check_size(given.len())?;
        let text = String::from_utf8_lossy(given);
        let whole =
            loose::whole(self.kind, &self.model, self.parse(&text)?).map_err(|reason| self.garbage(&reason, &text))?;
        Ok(whole.to_string().into())
    }

    /// The events, and a last one that says so if the handler's stream simply ended.
    fn events(self, given: EventStream, streamed: loose::Streamed) -> EventStream {
        let start = Some((self, given, streamed, 0));
        let batches = stream::unfold(start, |state| async move {
            let (shaping, mut given, mut streamed, taken) = state?;
            match given.next().await {
                Some(Ok(text)) => {
                    let taken = text.len().saturating_add(taken);
                    let made = shaping
                        .check_size(taken)
                        .and_then(|()| shaping.parse(&text))
                        .and_then(|value| streamed.push(value).map_err(|reason| shaping.garbage(&reason, &text)));
                    let rest = made.is_ok().then_some((shaping, given, streamed, taken));
                    Some((made, rest))
                }
                Some(Err(failure)) => Some((Err(presentable(failure)), None)),
                None => Some((Ok(streamed.end()), None)),
            }
        });
        Box::pin(batches.map_ok(|events| stream::iter(events.into_iter().map(Ok))).try_flatten())
    }
}
