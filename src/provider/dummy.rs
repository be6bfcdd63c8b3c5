//! A provider without a network: scripted answers or an echo, and faults on demand, seeded.
//!
//! All its time passes on tokio's clock, so tests that pause that clock never wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

pub use self::options::{DummyOptions, Faults, Response};
use super::{Call, EventStream, LocalFuture, Outgoing, Provider, Reply, classify, loose};
use crate::connections::Rejection;
use crate::error::{Failure, FailureClass, Result};
use crate::kinds::{Completion, Kind};
use crate::tracker::Tracker;

mod answers;
mod options;

/// See the module.
#[derive(Debug)]
pub(super) struct Dummy {
    name: String,
    account: Option<Tracker>,
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

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Status(u16),
    Reset,
    Hang,
    Cut,
    Malformed,
}

/// One call, for its future to own.
struct Asked {
    kind: &'static str,
    model: String,
    body: Value,
    is_stream: bool,
}

impl Dummy {
    pub fn new(name: String, options: DummyOptions, account: Option<Tracker>) -> Self {
        let state = Mutex::new(State { used: 0, random: fastrand::Rng::with_seed(options.seed) });
        Self { name, account, shared: Arc::new(Shared { options, state }) }
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

    fn is_cacheable(&self) -> bool {
        self.shared.options.cache
    }

    fn write(&self, call: &Call<'_>) -> Result<Outgoing> {
        let body = serde_json::from_slice(&call.body.write(&[])).unwrap_or_default();
        let is_stream = call.is_stream && call.kind == Completion::NAME;
        let asked = Asked { kind: call.kind, model: call.model.to_owned(), body, is_stream };
        let shared = Arc::clone(&self.shared);
        let answer: LocalFuture = Box::pin(async move { shared.answer(asked).await });
        Ok(Outgoing::Local(answer))
    }
}

impl Shared {
    async fn answer(&self, asked: Asked) -> Result<Reply, Failure> {
        let (latency, fault) = self.draw();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        match fault {
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Reset) => return Err(Failure::new(FailureClass::Transient, "the connection was reset")),
            Some(Fault::Status(status)) => {
                let error = json!({ "message": format!("a fault of the dummy: status {status}") });
                return Err(rejection(status, &error, None));
            }
            Some(Fault::Cut | Fault::Malformed) | None => {}
        }
        let whole = self.whole(&asked, fault.is_some())?;
        if asked.is_stream {
            return Ok(Reply::Events(self.stream(&whole, fault)));
        }
        let text = whole.to_string();
        match fault {
            Some(Fault::Cut) => Err(cut()),
            Some(_) => Ok(Reply::Whole(Bytes::from(first_half(&text).to_owned()))),
            None => Ok(Reply::Whole(text.into())),
        }
    }

    /// The latency and the fault of the next call, from the seed.
    fn draw(&self) -> (Duration, Option<Fault>) {
        let DummyOptions { latency: (low, high), faults, .. } = &self.options;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let latency = *low + high.saturating_sub(*low).mul_f64(state.random.f64());
        let mut share = state.random.f64();
        let statuses = faults.status.iter().map(|(status, share)| (Fault::Status(*status), *share));
        let others = [
            (Fault::Reset, faults.reset),
            (Fault::Hang, faults.hang),
            (Fault::Cut, faults.cut),
            (Fault::Malformed, faults.malformed),
        ];
        let fault = statuses.chain(others).find(|(_, part)| {
            let is_hit = share < *part;
            share -= part;
            is_hit
        });
        (latency, fault.map(|(fault, _)| fault))
    }

    /// The answer, in wire form. A call that fails on the way leaves its answer to the next one.
    fn whole(&self, asked: &Asked, is_fault: bool) -> Result<Value, Failure> {
        let Some(responses) = &self.options.responses else {
            return answers::unscripted(asked.kind, &asked.model, &asked.body, self.options.dimensions);
        };
        let place = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let place = state.used;
            state.used += usize::from(!is_fault);
            place
        };
        let place = if self.options.repeat { place.checked_rem(responses.len()) } else { Some(place) };
        let Some(response) = place.and_then(|place| responses.get(place)) else {
            let message = format!("the dummy has no answer left: it was given {}", responses.len());
            let mut failure = Failure::new(FailureClass::Rejected, message).unsent();
            failure.is_exhausted = true;
            return Err(failure);
        };
        let value = match response {
            Response::Text(text) => Value::from(text.as_str()),
            Response::Answer(value) => value.clone(),
            Response::Error { status, error, retry_after } => return Err(rejection(*status, error, *retry_after)),
        };
        let whole = loose::whole(asked.kind, &asked.model, value.clone()).map_err(|reason| {
            let mut failure = Failure::new(FailureClass::Truncated, format!("the dummy's scripted response: {reason}"));
            failure.body = Some(value.to_string());
            failure
        })?;
        Ok(answers::with_usage(whole, asked.kind, &asked.body))
    }

    fn stream(&self, whole: &Value, fault: Option<Fault>) -> EventStream {
        let mut events: VecDeque<Result<String, Failure>> = loose::events(whole).into_iter().map(Ok).collect();
        let half = events.len() / 2;
        match fault {
            Some(Fault::Cut) => {
                events.truncate(half);
                events.push_back(Err(cut()));
            }
            Some(Fault::Malformed) => {
                events.truncate(half);
                events.push_back(Ok("{\"choices\":[{\"delta\":".to_owned()));
            }
            _ => {}
        }
        let interval = self.options.token_interval;
        Box::pin(stream::unfold((events, true), move |(mut events, is_first)| async move {
            if !is_first && !interval.is_zero() && !events.is_empty() {
                tokio::time::sleep(interval).await;
            }
            let event = events.pop_front()?;
            Some((event, (events, false)))
        }))
    }
}

fn cut() -> Failure {
    Failure::new(FailureClass::Truncated, "the connection was cut in the middle of the answer")
}

fn first_half(text: &str) -> &str {
    let half = (0..=text.len() / 2).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..half]
}

/// The failure that a real endpoint's answer of this status would be.
fn rejection(status: u16, error: &Value, retry_after: Option<Duration>) -> Failure {
    let mut headers = HeaderMap::new();
    if let Some(delay) = retry_after {
        let value = HeaderValue::from(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        headers.insert("retry-after-ms", value);
    }
    let body = json!({ "error": error }).to_string();
    classify(&Rejection { status, headers: &headers, body: &body })
}
