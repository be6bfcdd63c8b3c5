//! What is answered: a message of Anthropic's as a chat completion of OpenAI's.
//!
//! What OpenAI has no field for is kept so that the answer can be sent back as a turn of the conversation:
//! `thinking_blocks` holds the blocks of thinking with their signatures, and `content_blocks` all blocks, if there are
//! others than thinking, one text and calls, in this order (searches, citations, text between calls).

use bytes::Bytes;
use serde_json::json;
use serde_json::value::RawValue;

use super::conversation::string;
use super::request::copy;
use crate::kinds::Body;

/// Reads a whole answer.
///
/// # Errors
/// Why it is none.
pub(super) fn read(answer: &[u8]) -> Result<Bytes, String> {
    let mut message: Body = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    if message.get("type") != Some("\"message\"") {
        return Err("it is not a message".to_owned());
    }
    let mut take = |name: &str| message.remove(name);
    let blocks = take("content").ok_or("it has no content")?;
    let blocks: Vec<Body> = serde_json::from_str(blocks.get()).map_err(|error| error.to_string())?;
    let end = End {
        reason: take("stop_reason").and_then(|raw| string(raw.get())),
        sequence: take("stop_sequence"),
        details: take("stop_details"),
    };
    let usage: Option<Body> = take("usage").and_then(|raw| serde_json::from_str(raw.get()).ok());
    let mut out = Body::new();
    out.set("id", &take("id"));
    out.set("object", &"chat.completion");
    // It does not say, and nobody here knows the time.
    out.set("created", &0);
    out.set("model", &take("model"));
    let mut choice = Body::new();
    choice.set("index", &0);
    choice.set("message", &said(&blocks, &end));
    end.write(&mut choice);
    out.set("choices", &[choice]);
    out.set("usage", &usage.as_ref().map(usage_of));
    for name in ["type", "role"] {
        message.remove(name);
    }
    message.drop_nulls();
    copy(&message, &mut out);
    out.drop_nulls();
    Ok(out.write(&[]))
}

/// Why an answer ended.
#[derive(Default)]
pub(super) struct End {
    pub reason: Option<String>,
    pub sequence: Option<Box<RawValue>>,
    pub details: Option<Box<RawValue>>,
}

impl End {
    /// OpenAI's word, <https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons>. `pause_turn`, and what
    /// is not known, stays as it is: such an answer is not complete.
    fn finish_reason(&self) -> Option<&str> {
        Some(match self.reason.as_deref()? {
            "end_turn" | "stop_sequence" => "stop",
            "max_tokens" | "model_context_window_exceeded" => "length",
            "tool_use" => "tool_calls",
            "refusal" => "content_filter",
            other => other,
        })
    }

    /// Adds it to a choice, in OpenAI's words and in its own.
    pub(super) fn write(&self, choice: &mut Body) {
        choice.set("finish_reason", &self.finish_reason());
        choice.set("native_finish_reason", &self.reason);
        choice.set("stop_sequence", &self.sequence);
        choice.set("stop_details", &self.details);
        for name in ["native_finish_reason", "stop_sequence", "stop_details"] {
            if choice.get(name).is_none() {
                choice.remove(name);
            }
        }
    }

    /// Why it would not answer, if it says so.
    pub(super) fn refusal(&self) -> Option<String> {
        let details: Body = serde_json::from_str(self.details.as_ref()?.get()).ok()?;
        details.get("explanation").and_then(string).filter(|_| self.reason.as_deref() == Some("refusal"))
    }
}

/// The message that these blocks make.
fn said(blocks: &[Body], end: &End) -> Body {
    let of = |kind: &'static str| blocks.iter().filter(move |block| kind_of(block) == kind);
    let texts = |kind, field: &str| -> String { of(kind).filter_map(|block| string(block.get(field)?)).collect() };
    let (text, reasoning) = (texts("text", "text"), texts("thinking", "thinking"));
    let thinking: Vec<_> = blocks.iter().filter(|block| is_thinking(&kind_of(block))).collect();
    let calls: Vec<_> = of("tool_use").map(call).collect();
    let refusal = end.refusal();
    let mut message = Body::new();
    message.set("role", &"assistant");
    message.set("content", &Some(&text).filter(|text| !text.is_empty() || (calls.is_empty() && refusal.is_none())));
    if !reasoning.is_empty() {
        message.set("reasoning_content", &reasoning);
    }
    if let Some(refusal) = refusal {
        message.set("refusal", &refusal);
    }
    if !calls.is_empty() {
        message.set("tool_calls", &calls);
    }
    if !thinking.is_empty() {
        message.set("thinking_blocks", &thinking);
    }
    if !is_plain(blocks) {
        message.set("content_blocks", &blocks);
    }
    message
}

pub(super) fn kind_of(block: &Body) -> String {
    block.get("type").and_then(string).unwrap_or_default()
}

pub(super) fn is_thinking(kind: &str) -> bool {
    matches!(kind, "thinking" | "redacted_thinking")
}

fn call(block: &Body) -> serde_json::Value {
    let arguments = block.get("input").unwrap_or("{}");
    let text = |name| block.get(name).and_then(string).unwrap_or_default();
    let function = json!({ "name": text("name"), "arguments": arguments });
    json!({ "id": text("id"), "type": "function", "function": function })
}

/// Whether OpenAI's fields say all that the blocks do.
pub(super) fn is_plain(blocks: &[Body]) -> bool {
    let rank = |block: &Body| {
        let kind = kind_of(block);
        let is_bare =
            |known: &[&str]| block.iter().all(|(name, raw)| known.contains(&name) || matches!(raw, "null" | "[]"));
        match kind.as_str() {
            kind if is_thinking(kind) => Some(0),
            "text" if is_bare(&["type", "text"]) => Some(1),
            "tool_use" if is_bare(&["type", "id", "name", "input"]) || is_direct(block) => Some(2),
            _ => None,
        }
    };
    let ranks: Option<Vec<_>> = blocks.iter().map(rank).collect();
    ranks.is_some_and(|ranks| ranks.is_sorted() && ranks.iter().filter(|rank| **rank == 1).count() < 2)
}

/// Whether the model made the call, and no program of its own.
fn is_direct(block: &Body) -> bool {
    let caller: Body = block.get("caller").and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
    caller.get("type") == Some("\"direct\"")
}

/// OpenAI's usage, whose prompt holds what was read from the cache and written to it; and its own fields beside that.
pub(super) fn usage_of(usage: &Body) -> Body {
    let count = |name: &str| usage.get(name).and_then(|raw| raw.parse::<u64>().ok());
    let cached = count("cache_read_input_tokens");
    let all = [count("input_tokens"), count("cache_creation_input_tokens"), cached];
    let prompt = all.into_iter().flatten().fold(0_u64, u64::saturating_add);
    let completion = count("output_tokens").unwrap_or(0);
    let details = usage.get("output_tokens_details").and_then(|raw| Body::parse(raw).ok()).unwrap_or_default();
    let thinking: Option<u64> = details.get("thinking_tokens").and_then(|raw| raw.parse().ok());
    let mut out = Body::new();
    out.set("prompt_tokens", &prompt);
    out.set("completion_tokens", &completion);
    out.set("total_tokens", &prompt.saturating_add(completion));
    if let Some(cached) = cached {
        out.set("prompt_tokens_details", &json!({ "cached_tokens": cached }));
    }
    if let Some(thinking) = thinking {
        out.set("completion_tokens_details", &json!({ "reasoning_tokens": thinking }));
    }
    copy(usage, &mut out);
    out.drop_nulls();
    out
}
