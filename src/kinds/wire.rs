//! What the answers of all kinds have in common: how usage is read, and how an answer that cannot be read is reported.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Usage;
use crate::constants::MAX_ERROR_BODY_BYTES;
use crate::error::{Failure, FailureClass};

/// A failure for an answer that is not one: what was wrong, and its beginning.
pub(super) fn unreadable(reason: impl std::fmt::Display, answer: &[u8]) -> Failure {
    let mut failure = Failure::new(FailureClass::Truncated, format!("the answer cannot be used: {reason}"));
    failure.body = Some(beginning(answer));
    failure
}

/// Reads a JSON object. On failure, says what is wrong with it.
pub(super) fn object<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, String> {
    // Serde would take an array for a struct, field by field.
    if answer.trim_ascii_start().starts_with(b"[") {
        return Err("it is an array, not an object".to_owned());
    }
    serde_json::from_slice(answer).map_err(|error| explain(&error, answer))
}

/// What is wrong with an answer that did not parse, in words that help: an HTML page is named as such.
fn explain(error: &serde_json::Error, answer: &[u8]) -> String {
    let text = answer.trim_ascii_start();
    if text.is_empty() {
        return "it is empty".to_owned();
    }
    if text.starts_with(b"<") {
        return "it is HTML or XML, not JSON".to_owned();
    }
    if error.is_data() { error.to_string() } else { format!("it is not JSON: {error}") }
}

/// The first 64 KiB as text.
fn beginning(answer: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&answer[..answer.len().min(MAX_ERROR_BODY_BYTES)]).into_owned();
    let mut end = text.len().min(MAX_ERROR_BODY_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

/// OpenAI's `usage`. `None` if it is absent, says nothing or cannot be read: an odd count never costs the answer.
pub(super) fn usage(raw: Option<&RawValue>) -> Option<Usage> {
    let wire: WireUsage = serde_json::from_str(raw?.get()).ok()?;
    if wire.prompt_tokens.is_none() && wire.completion_tokens.is_none() && wire.total_tokens.is_none() {
        return None;
    }
    let completion_tokens = wire.completion_tokens.unwrap_or(0);
    let prompt_tokens =
        wire.prompt_tokens.unwrap_or_else(|| wire.total_tokens.unwrap_or(0).saturating_sub(completion_tokens));
    Some(Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens: wire.total_tokens.unwrap_or_else(|| prompt_tokens.saturating_add(completion_tokens)),
        cached_prompt_tokens: wire.prompt_tokens_details.and_then(|details| details.cached_tokens),
        reasoning_tokens: wire.completion_tokens_details.and_then(|details| details.reasoning_tokens),
        ..Usage::default()
    })
}
