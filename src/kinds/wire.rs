//! What the answers of all kinds have in common: how usage is read, and how an answer that cannot be read is reported.

use serde::Deserialize;
use serde::de::MapAccess;
use serde_json::value::RawValue;

use super::Usage;
use super::open::{Known, Named, set};
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

/// As [`object`], of text that is known to be UTF-8.
pub(super) fn object_of<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    if text.trim_ascii_start().starts_with('[') {
        return object(text.as_bytes());
    }
    serde_json::from_str(text).map_err(|error| explain(&error, text.as_bytes()))
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

/// OpenAI's `usage`, and the names that others have for the same.
#[derive(Default)]
struct WireUsage<'a> {
    prompt: Option<&'a RawValue>,
    completion: Option<&'a RawValue>,
    /// Those of Anthropic's and of the Responses API, which some servers keep in their chats.
    input: Option<&'a RawValue>,
    output: Option<&'a RawValue>,
    total: Option<&'a RawValue>,
    prompt_details: Option<&'a RawValue>,
    completion_details: Option<&'a RawValue>,
    /// Moonshot's `cached_tokens`, DeepSeek's `prompt_cache_hit_tokens`.
    cached: Option<&'a RawValue>,
    /// Perplexity's `reasoning_tokens`.
    reasoning: Option<&'a RawValue>,
}

impl<'de> Known<'de> for WireUsage<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "prompt_tokens" => set(&mut self.prompt, map),
            "completion_tokens" => set(&mut self.completion, map),
            "input_tokens" => set(&mut self.input, map),
            "output_tokens" => set(&mut self.output, map),
            "total_tokens" => set(&mut self.total, map),
            "prompt_tokens_details" => set(&mut self.prompt_details, map),
            "completion_tokens_details" => set(&mut self.completion_details, map),
            "cached_tokens" | "prompt_cache_hit_tokens" => set(&mut self.cached, map),
            "reasoning_tokens" => set(&mut self.reasoning, map),
            _ => Ok(false),
        }
    }
}

/// The `usage` of the Responses API.
#[derive(Default)]
struct ResponseUsage<'a>(WireUsage<'a>);

impl<'de> Known<'de> for ResponseUsage<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "input_tokens" => set(&mut self.0.prompt, map),
            "output_tokens" => set(&mut self.0.completion, map),
            "input_tokens_details" => set(&mut self.0.prompt_details, map),
            "output_tokens_details" => set(&mut self.0.completion_details, map),
            "total_tokens" => set(&mut self.0.total, map),
            _ => Ok(false),
        }
    }
}

/// What of `prompt_tokens_details` and `completion_tokens_details` is read.
#[derive(Default)]
struct Details<'a> {
    cached: Option<&'a RawValue>,
    reasoning: Option<&'a RawValue>,
}

impl<'de> Known<'de> for Details<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "cached_tokens" => set(&mut self.cached, map),
            "reasoning_tokens" => set(&mut self.reasoning, map),
            _ => Ok(false),
        }
    }
}

fn details(raw: Option<&RawValue>) -> Details<'_> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).map(|Named(details)| details).unwrap_or_default()
}

/// A number of tokens; some servers write it as `5.0`.
fn count(raw: Option<&RawValue>) -> Option<u64> {
    let raw = raw?.get();
    raw.parse().ok().or_else(|| raw.strip_suffix(".0")?.parse().ok())
}

/// OpenAI's `usage`. `None` if it is absent, says nothing or cannot be read: an odd count never costs the answer.
pub(super) fn usage(raw: Option<&RawValue>) -> Option<Usage> {
    let Named(wire): Named<WireUsage<'_>> = serde_json::from_str(raw?.get()).ok()?;
    normalised(&wire)
}

/// The same of the Responses API's.
pub(super) fn response_usage(raw: Option<&RawValue>) -> Option<Usage> {
    let Named(ResponseUsage(wire)): Named<ResponseUsage<'_>> = serde_json::from_str(raw?.get()).ok()?;
    normalised(&wire)
}

fn normalised(wire: &WireUsage<'_>) -> Option<Usage> {
    let prompt = count(wire.prompt).or_else(|| count(wire.input));
    let (completion, total) = (count(wire.completion).or_else(|| count(wire.output)), count(wire.total));
    if prompt.is_none() && completion.is_none() && total.is_none() {
        return None;
    }
    let said = completion.unwrap_or(0);
    let prompt_tokens = prompt.unwrap_or_else(|| total.unwrap_or(0).saturating_sub(said));
    let cached_prompt_tokens = count(details(wire.prompt_details).cached).or_else(|| count(wire.cached));
    let reasoning_tokens = count(details(wire.completion_details).reasoning).or_else(|| count(wire.reasoning));
    // xAI and some gateways to Gemini count the reasoning beside the answer, and only together in the total.
    let beside = reasoning_tokens.filter(|reasoning| {
        let sum = prompt_tokens.saturating_add(said).saturating_add(*reasoning);
        prompt.is_some() && total.is_some_and(|total| total >= sum)
    });
    let completion_tokens = said.saturating_add(beside.unwrap_or(0));
    Some(Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens: total.unwrap_or_else(|| prompt_tokens.saturating_add(completion_tokens)),
        cached_prompt_tokens,
        reasoning_tokens,
        ..Usage::default()
    })
}
