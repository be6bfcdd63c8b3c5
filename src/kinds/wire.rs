//! What the answers of all kinds have in common: how usage is read, and how an answer that cannot be read is reported.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Usage;
use crate::constants::MAX_ERROR_BODY_BYTES;
use crate::error::{Failure, FailureClass, masked};

/// Most bytes of a message. Serde repeats the value that it did not expect, whatever its length.
const MAX_MESSAGE_BYTES: usize = 500;

/// A failure for an answer that is not one: what was wrong, and its beginning; without keys, lest it quote one.
pub(super) fn unreadable(reason: impl std::fmt::Display, answer: &[u8]) -> Failure {
    let message = without_keys(format!("the answer cannot be used: {reason}").as_bytes(), MAX_MESSAGE_BYTES);
    let mut failure = Failure::new(FailureClass::Truncated, message);
    failure.body = Some(without_keys(answer, MAX_ERROR_BODY_BYTES));
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

/// The first bytes as text, masked before the last cut, lest it make a key look harmless.
fn without_keys(answer: &[u8], most: usize) -> String {
    beginning(masked(&beginning(answer, 2 * most)).as_bytes(), most)
}

/// The first bytes as text.
fn beginning(answer: &[u8], most: usize) -> String {
    let mut text = String::from_utf8_lossy(&answer[..answer.len().min(most)]).into_owned();
    // What stands in for a damaged byte is three bytes long.
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
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
