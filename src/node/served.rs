//! An answer as JavaScript gets it: what every answer says as JSON, and beside it what would be dear to encode.

use std::sync::Arc;

use serde::Serialize;

use super::any_router::request as read;
use super::any_stream::AnyStream;
use super::letter::{Kind as LetterKind, Mail};
use super::line::{Line, Said, Words, units};
use super::text::Spoken;
use crate::error::{Attempt, ErrorKind, Result};
use crate::gateway::Answering;
use crate::kinds::{Completion, Embeddings, Kind, ModelResponse, Ranked, Ranking, Streaming, ToolCall, Usage};
use crate::options::StreamOptions;
use crate::route::{Answer, CacheStatus, Hit, Router};

/// A kind whose answers cross.
pub trait Crossing: Answering {
    /// Writes an answer.
    fn letter(kind: LetterKind, id: u32, answer: Answer<Self>) -> Mail;

    /// A hit as a line, if it can be told so.
    fn line(_hit: &Hit<Self>, _words: &mut Words) -> Option<Line> {
        None
    }

    /// Streams an answer, for the kind that can be streamed.
    ///
    /// # Errors
    /// If it cannot, or the request is refused.
    fn stream(
        _router: &Router<Self>,
        _group: &str,
        _request: Spoken,
        _options: StreamOptions,
    ) -> Result<Arc<dyn AnyStream>> {
        Err(ErrorKind::Unsupported("only completions and model responses can be streamed".to_owned()).into())
    }
}

fn streamed<K: Crossing + Streaming>(
    router: &Router<K>,
    group: &str,
    request: Spoken,
    options: StreamOptions,
) -> Result<Arc<dyn AnyStream>> {
    Ok(Arc::new(router.stream_later(group, &read::<K>(request)?, options)?))
}

/// What every answer says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a, T> {
    #[serde(flatten)]
    own: T,
    deployment: &'a str,
    model: &'a str,
    usage: Usage,
    cache: CacheStatus,
    attempts: &'a [Attempt],
    latency_ms: f64,
    queued_ms: f64,
    queue_position: u64,
}

fn head<K: Kind>(answer: &Answer<K>, own: impl Serialize) -> String {
    let head = Head {
        own,
        deployment: &answer.deployment,
        model: answer.model(),
        usage: answer.usage(),
        cache: answer.cache,
        attempts: &answer.attempts,
        latency_ms: answer.latency.as_secs_f64() * 1000.0,
        queued_ms: answer.queued.as_secs_f64() * 1000.0,
        queue_position: answer.position,
    };
    serde_json::to_string(&head).expect("plain data serialises")
}

/// What stands around the content in the provider's answer, which then crosses without it; `None` where that does not pay, as
/// the content would hold in memory what it came with.
fn around(completion: &Completion) -> Option<(&str, &str)> {
    const FEW: usize = 1024;
    let (before, after) = completion.around_content()?;
    let is_little = before.len() + after.len() <= completion.content.len().max(FEW);
    let text = |part| std::str::from_utf8(part).ok().filter(|_| is_little);
    Some((text(before)?, text(after)?))
}

impl Crossing for Completion {
    fn letter(kind: LetterKind, id: u32, answer: Answer<Self>) -> Mail {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Own<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            content: Option<&'a str>,
            /// Where the raw text goes on after the content, and where that stands, at its end.
            #[serde(skip_serializing_if = "Option::is_none")]
            content_at: Option<[usize; 2]>,
            tool_calls: &'a [ToolCall],
            finish_reason: &'a str,
        }
        let around = around(&answer);
        let raw = match around {
            Some((before, after)) => [before, after, &answer.content].concat(),
            None => String::from_utf8_lossy(answer.raw()).into_owned(),
        };
        let own = Own {
            content: around.is_none().then_some(&answer.content),
            content_at: around.map(|(before, after)| [units(before), units(before) + units(after)]),
            tool_calls: &answer.tool_calls,
            finish_reason: &answer.finish_reason,
        };
        let head = head(&answer, own);
        Mail { raw: Some(raw), ..Mail::new(kind, id, Some(head)) }
    }

    fn line(hit: &Hit<Self>, words: &mut Words) -> Option<Line> {
        let Hit { value, deployment } = hit;
        let around = around(value).filter(|_| value.tool_calls.is_empty())?;
        let own = [deployment, value.model(), &value.finish_reason];
        let usage = value.usage().copied().unwrap_or_default();
        Line::new(&Said { around, content: &value.content, words: own, usage }, words)
    }

    fn stream(
        router: &Router<Self>,
        group: &str,
        request: Spoken,
        options: StreamOptions,
    ) -> Result<Arc<dyn AnyStream>> {
        streamed(router, group, request, options)
    }
}

impl Crossing for ModelResponse {
    fn letter(kind: LetterKind, id: u32, answer: Answer<Self>) -> Mail {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Own<'a> {
            id: &'a str,
            output_text: &'a str,
            tool_calls: &'a [ToolCall],
            status: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            incomplete_reason: Option<&'a str>,
        }
        let own = Own {
            id: &answer.id,
            output_text: &answer.output_text,
            tool_calls: &answer.tool_calls,
            status: &answer.status,
            incomplete_reason: answer.incomplete_reason.as_deref(),
        };
        let raw = String::from_utf8_lossy(answer.raw()).into_owned();
        Mail { raw: Some(raw), ..Mail::new(kind, id, Some(head(&answer, own))) }
    }

    fn stream(
        router: &Router<Self>,
        group: &str,
        request: Spoken,
        options: StreamOptions,
    ) -> Result<Arc<dyn AnyStream>> {
        streamed(router, group, request, options)
    }
}

impl Crossing for Embeddings {
    fn letter(kind: LetterKind, id: u32, answer: Answer<Self>) -> Mail {
        #[derive(Serialize)]
        struct Own {}
        let vectors = answer.vectors();
        let dimensions = vectors.first().map_or(0, Vec::len);
        let flat: Vec<f32> = vectors.concat();
        #[allow(clippy::cast_possible_truncation, reason = "vectors have thousands of dimensions")]
        let vectors = Some((flat, dimensions as u32));
        Mail { vectors, ..Mail::new(kind, id, Some(head(&answer, Own {}))) }
    }
}

impl Crossing for Ranking {
    fn letter(kind: LetterKind, id: u32, answer: Answer<Self>) -> Mail {
        #[derive(Serialize)]
        struct Own<'a> {
            results: &'a [Ranked],
        }
        Mail::new(kind, id, Some(head(&answer, Own { results: answer.results() })))
    }
}
