//! A provider without a network: scripted answers or an echo, and faults on demand, seeded.
//!
//! All its time passes on tokio's clock, so tests that pause that clock never wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

pub use self::faults::{Fault, Faults};
pub use self::options::{DummyOptions, Response};
use self::play::Wrong;
use super::{Call, LocalFuture, Outgoing, Provider, Reply, classify, loose};
use crate::connections::Rejection;
use crate::error::{Failure, FailureClass, Result};
use crate::kinds::{Completion, Kind, ModelResponse};
use crate::tracker::Tracker;

mod answers;
mod faults;
mod options;
mod play;

/// See the module.
#[derive(Debug)]
pub(super) struct Dummy {
    name: String,
    account: Option<Tracker>,
    /// Of its key, if it has one.
    identity: Option<[u8; 32]>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: DummyOptions,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How many responses were used.
    used: usize,
    random: fastrand::Rng,
}

/// What chance does to one call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Chance {
    Status(u16),
    Fault(Fault),
}

/// One call, for its future to own.
struct Asked {
    kind: &'static str,
    model: String,
    body: Value,
    is_stream: bool,
}

impl Dummy {
    pub fn new(name: String, options: DummyOptions, account: Option<Tracker>, identity: Option<[u8; 32]>) -> Self {
        let state = Mutex::new(State { used: 0, random: fastrand::Rng::with_seed(options.seed) });
        Self { name, account, identity, shared: Arc::new(Shared { options, state }) }
    }
}

impl Provider for Dummy {
    fn name(&self) -> &str {
        &self.name
    }

    fn supports(&self, _kind: &str) -> bool {
        true
    }

    fn account(&self) -> Option<Tracker> {
        self.account.clone()
    }

    fn identity(&self) -> [u8; 32] {
        // Without a key there is nothing but the name that two dummies could have in common.
        let of_name = || blake3::derive_key("thryd 2026-11 provider: name", self.name.as_bytes());
        self.identity.unwrap_or_else(of_name)
    }

    fn is_cacheable(&self) -> bool {
        self.shared.options.cache
    }

    fn write(&self, call: &Call<'_>) -> Result<Outgoing> {
        let body = serde_json::from_slice(&call.body.write(&[])).unwrap_or_default();
        let is_stream = call.is_stream && matches!(call.kind, Completion::NAME | ModelResponse::NAME);
        let asked = Asked { kind: call.kind, model: call.model.to_owned(), body, is_stream };
        let shared = Arc::clone(&self.shared);
        let answer: LocalFuture = Box::pin(async move { shared.answer(asked).await });
        Ok(Outgoing::Local(answer))
    }
}

impl Shared {
    async fn answer(&self, asked: Asked) -> Result<Reply, Failure> {
        let (latency, chance) = self.draw();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let chance = match chance {
            Some(Chance::Status(status)) => {
                let error = json!({ "message": format!("a fault of the dummy: status {status}") });
                return Err(rejection(status, &error, None));
            }
            Some(Chance::Fault(fault)) => Some(Wrong { fault, after_tokens: None }),
            None => None,
        };
        // What does not fail uses up its answer.
        let response = self.next(chance.is_some_and(|wrong| !wrong.fault.is_answered()));
        let scripted = match &response {
            Ok(Some(Response::Fault { fault, after_tokens })) => {
                Some(Wrong { fault: *fault, after_tokens: *after_tokens })
            }
            _ => None,
        };
        let wrong = chance.or(scripted);
        play::before_answer(wrong).await?;
        let answer = self.whole(&asked, response?)?;
        if asked.is_stream {
            return Ok(play::events(&answer, asked.kind, wrong, self.options.token_interval));
        }
        play::whole(&answer, asked.kind, wrong).await
    }

    /// The latency and the chance of the next call, from the seed.
    fn draw(&self) -> (Duration, Option<Chance>) {
        let DummyOptions { latency: (low, high), faults, .. } = &self.options;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let latency = *low + high.saturating_sub(*low).mul_f64(state.random.f64());
        let mut place = state.random.f64();
        let statuses = faults.status.iter().map(|(status, share)| (Chance::Status(*status), *share));
        let others = faults.others.iter().map(|(fault, share)| (Chance::Fault(*fault), *share));
        let chance = statuses.chain(others).find(|(_, share)| {
            let is_hit = place < *share;
            place -= share;
            is_hit
        });
        (latency, chance.map(|(chance, _)| chance))
    }

    /// The next scripted response; `None` without a script. A call that fails by chance leaves it to the next one.
    fn next(&self, is_left: bool) -> Result<Option<&Response>, Failure> {
        let Some(responses) = &self.options.responses else { return Ok(None) };
        let place = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let place = state.used;
            state.used += usize::from(!is_left);
            place
        };
        let place = if self.options.repeat { place.checked_rem(responses.len()) } else { Some(place) };
        let response = place.and_then(|place| responses.get(place));
        response.map(Some).ok_or_else(|| {
            let message = format!("the dummy has no answer left: it was given {}", responses.len());
            let mut failure = Failure::new(FailureClass::Rejected, message).unsent();
            failure.is_exhausted = true;
            failure
        })
    }

    /// The answer, in wire form.
    fn whole(&self, asked: &Asked, response: Option<&Response>) -> Result<Value, Failure> {
        let value = match response {
            None | Some(Response::Fault { .. }) => {
                return answers::unscripted(asked.kind, &asked.model, &asked.body, self.options.dimensions);
            }
            Some(Response::Text(text)) => Value::from(text.as_str()),
            Some(Response::Answer(value)) => value.clone(),
            Some(Response::Error { status, error, retry_after }) => {
                return Err(rejection(*status, error, *retry_after));
            }
        };
        let whole = loose::whole(asked.kind, &asked.model, value.clone()).map_err(|reason| {
            let mut failure = Failure::new(FailureClass::Truncated, format!("the dummy's scripted response: {reason}"));
            failure.body = Some(value.to_string());
            failure
        })?;
        Ok(answers::with_usage(whole, asked.kind, &asked.body))
    }
}

/// The failure that a real endpoint's answer of this status would be; with no body, if the error is null.
fn rejection(status: u16, error: &Value, retry_after: Option<Duration>) -> Failure {
    let mut headers = HeaderMap::new();
    if let Some(delay) = retry_after {
        let value = HeaderValue::from(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        headers.insert("retry-after-ms", value);
    }
    let body = if error.is_null() { String::new() } else { json!({ "error": error }).to_string() };
    classify(&Rejection { status, headers: &headers, body: &body })
}
