//! What becomes of an answer when something goes wrong: what a reader of the same fault on a socket would have met.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::faults::Fault;
use crate::error::{Failure, FailureClass};
use crate::kinds::{Completion, Kind, ModelResponse};
use crate::provider::{EventStream, Reply, in_band, loose};

const ERROR: &str =
    r#"{"error":{"message":"a fault of the dummy: an error inside the answer","type":"server_error","code":null}}"#;
const PAGE: &str = "<!doctype html>\n<html><head><title>Welcome</title></head><body><h1>Welcome</h1></body></html>\n";
/// An event that stops in its middle.
const UNREADABLE: &str = r#"{"choices":[{"delta":{"content":"#;

/// What goes wrong with one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wrong {
    pub fault: Fault,
    /// Tokens of a stream before it. Default: half of them, rounded up.
    pub after_tokens: Option<usize>,
}

/// Fails, or is never done, if the fault comes before an answer.
pub(super) async fn before_answer(wrong: Option<Wrong>) -> Result<(), Failure> {
    let message = match wrong.map(|wrong| wrong.fault) {
        Some(Fault::Hang) => pending().await,
        Some(Fault::Reset) => "the connection was reset",
        Some(Fault::Close) => "the connection was closed before an answer",
        // The status says enough, so that nobody waits long for the rest.
        Some(Fault::StallError) => {
            return Err(Failure { class: FailureClass::Silent, ..super::rejection(503, &Value::Null, None) });
        }
        _ => return Ok(()),
    };
    Err(Failure::new(FailureClass::Transient, message))
}

/// A whole answer, and what may befall it.
pub(super) async fn whole(answer: &Value, kind: &str, wrong: Option<Wrong>) -> Result<Reply, Failure> {
    let text = answer.to_string();
    let Some(wrong) = wrong else { return Ok(Reply::Whole(text.into())) };
    let is_streamable = matches!(kind, Completion::NAME | ModelResponse::NAME);
    let text = match wrong.fault {
        Fault::Cut => return Err(cut()),
        // What has begun is waited for by the gap between two reads, which only a stream can tell here.
        Fault::Stall if is_streamable => return Ok(events(answer, kind, Some(wrong), Duration::ZERO)),
        Fault::Stall => pending().await,
        Fault::ErrorEvent => return in_band(ERROR).map_or(Ok(Reply::Whole(Bytes::from_static(ERROR.as_bytes()))), Err),
        Fault::End if is_streamable => unfinished(answer).to_string(),
        Fault::End => first_half(&text).to_owned(),
        // The brackets do not match.
        Fault::Malformed => [first(&text, text.len().saturating_sub(1)), "]"].concat(),
        Fault::Html => PAGE.to_owned(),
        Fault::Empty => String::new(),
        // Of a whole answer there is nothing after its finish; and what comes before an answer is over by now.
        Fault::NoDone
        | Fault::CutAfterFinish
        | Fault::StallAfterFinish
        | Fault::Reset
        | Fault::Hang
        | Fault::Close
        | Fault::StallError => text,
    };
    Ok(Reply::Whole(text.into()))
}

/// A streamed answer, and what may befall it.
pub(super) fn events(answer: &Value, kind: &str, wrong: Option<Wrong>, interval: Duration) -> Reply {
    let events = loose::events(kind, answer);
    let place = wrong.map_or(events.len(), |wrong| place_after(&events, wrong.after_tokens));
    // Only the usage of a completion comes after its finish reason.
    let has_more = kind == Completion::NAME && answer.get("usage").is_some();
    let finished = events.len() - usize::from(has_more);
    let mut queue: VecDeque<_> = events.into_iter().map(|event| Ok(event.data)).collect();
    match wrong.map(|wrong| wrong.fault) {
        Some(Fault::Html) => return Reply::Whole(Bytes::from_static(PAGE.as_bytes())),
        Some(Fault::Empty) => return Reply::Whole(Bytes::new()),
        // In the place of a token, so that a reader who passes over it loses some of the answer.
        Some(Fault::Malformed) => {
            let rest = queue.split_off(place.min(queue.len()));
            queue.push_back(Ok(UNREADABLE.to_owned()));
            queue.extend(rest.into_iter().skip(1));
        }
        Some(Fault::End) => queue.truncate(place),
        Some(Fault::Cut) => {
            queue.truncate(place);
            queue.push_back(Err(cut()));
        }
        Some(Fault::ErrorEvent) => {
            queue.truncate(place);
            queue.push_back(Ok(ERROR.to_owned()));
        }
        Some(Fault::Stall) => {
            queue.truncate(place);
            return Reply::Events(Box::pin(paced(queue, interval).chain(stream::pending())));
        }
        // Nobody waits for what follows the finish reason, so how it fails to come is not to be told.
        Some(Fault::CutAfterFinish | Fault::StallAfterFinish) => queue.truncate(finished),
        Some(Fault::NoDone | Fault::Reset | Fault::Hang | Fault::Close | Fault::StallError) | None => {}
    }
    Reply::Events(paced(queue, interval))
}

fn paced(queue: VecDeque<Result<String, Failure>>, interval: Duration) -> EventStream {
    Box::pin(stream::unfold((queue, true), move |(mut queue, is_first)| async move {
        if !is_first && !interval.is_zero() && !queue.is_empty() {
            tokio::time::sleep(interval).await;
        }
        let event = queue.pop_front()?;
        Some((event, (queue, false)))
    }))
}

/// Where the event stands that comes after this many tokens: the next token, or what follows the last.
fn place_after(events: &[loose::Event], tokens: Option<usize>) -> usize {
    let places = || events.iter().enumerate().filter(|(_, event)| event.is_token).map(|(place, _)| place);
    let all = places().count();
    let wanted = tokens.unwrap_or(all.div_ceil(2));
    // Without a token the role is all that comes before the finish.
    places().nth(wanted).or(places().next_back().map(|last| last + 1)).unwrap_or(1)
}

/// The same answer, cut short by somebody who says nothing of it.
fn unfinished(answer: &Value) -> Value {
    let mut answer = answer.clone();
    for choice in answer["choices"].as_array_mut().into_iter().flatten() {
        choice["finish_reason"] = Value::Null;
    }
    if answer.get("status").is_some() {
        answer["status"] = "in_progress".into();
    }
    answer
}

fn cut() -> Failure {
    Failure::new(FailureClass::Truncated, "the connection was cut in the middle of the answer")
}

fn first_half(text: &str) -> &str {
    first(text, text.len() / 2)
}

/// At most this many bytes.
fn first(text: &str, most: usize) -> &str {
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
