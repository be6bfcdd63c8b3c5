//! The messages of a request: OpenAI's roles and parts to Anthropic's turns and blocks.
//!
//! System messages go before all others, wherever they stand, as Anthropic's own OpenAI-compatible endpoint has it:
//! older models take them nowhere else. A message has a role and content there and no other field, so what else OpenAI's
//! has (`name`, `annotations`, ...) stays behind; what a part has beside its own fields, such as `cache_control`, travels.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use serde_json::value::RawValue;

use super::request::copy;
use crate::kinds::{Body, json_text};

/// A conversation in Anthropic's form.
#[derive(Default)]
pub(super) struct Conversation {
    /// Blocks of text.
    pub system: Vec<Body>,
    pub messages: Vec<Body>,
}

/// The text of a JSON string; of half a character in it remains U+FFFD.
pub(super) fn string(raw: &str) -> Option<String> {
    json_text(raw)
}

pub(super) fn text_block(text: &str) -> Body {
    let mut block = Body::new();
    block.set("type", &"text");
    block.set("text", &text);
    block
}

/// Reads OpenAI's `messages`.
///
/// # Errors
/// What cannot be said.
pub(super) fn write(messages: &str) -> Result<Conversation, String> {
    let messages: Vec<Body> = serde_json::from_str(messages).map_err(|_| "these `messages`")?;
    let mut conversation = Conversation::default();
    // Results of calls that were made together belong into one message.
    let mut results = Vec::new();
    for message in &messages {
        let role = message.get("role").and_then(string).unwrap_or_default();
        if role == "tool" {
            results.push(tool_result(message)?);
            continue;
        }
        if matches!(role.as_str(), "system" | "developer") {
            conversation.system.extend(blocks(message)?);
            continue;
        }
        conversation.push("user", &std::mem::take(&mut results));
        match role.as_str() {
            "assistant" => conversation.push("assistant", &assistant(message)?),
            "function" => return Err("messages of the role `function`, only of `tool`".to_owned()),
            // Text as it is, and what this API knows and thryd does not.
            role => {
                let content = blocks(message)?;
                match message.get("content") {
                    Some(raw) if content.is_empty() => conversation.push_raw(role, raw)?,
                    _ => conversation.push(role, &content),
                }
            }
        }
    }
    conversation.push("user", &results);
    Ok(conversation)
}

impl Conversation {
    /// A turn of these blocks, if there are any; text alone is written as such.
    fn push(&mut self, role: &str, blocks: &[Body]) {
        let mut message = Body::new();
        message.set("role", &role);
        match blocks {
            [] => return,
            [only] if only.get("type") == Some("\"text\"") && only.iter().count() == 2 => {
                let text = only.get("text").and_then(|raw| serde_json::from_str::<&RawValue>(raw).ok());
                message.set("content", &text);
            }
            blocks => message.set("content", &blocks),
        }
        self.messages.push(message);
    }

    fn push_raw(&mut self, role: &str, content: &str) -> Result<(), String> {
        let mut message = Body::new();
        message.set("role", &role);
        message.set("content", &serde_json::from_str::<&RawValue>(content).map_err(|_| "this `content`")?);
        self.messages.push(message);
        Ok(())
    }
}

/// What a message says, as blocks; a mark for the cache on the message is one on its last block.
fn blocks(message: &Body) -> Result<Vec<Body>, String> {
    let mut blocks = content(message.get("content"))?;
    let mark = message.get("cache_control").and_then(|raw| serde_json::from_str::<&RawValue>(raw).ok());
    if let (Some(mark), Some(last)) = (mark, blocks.last_mut()) {
        last.set("cache_control", &mark);
    }
    Ok(blocks)
}

fn content(raw: Option<&str>) -> Result<Vec<Body>, String> {
    let raw = raw.unwrap_or("[]");
    if raw.starts_with('"') {
        // Empty text is refused there, white space too, and says nothing.
        let text: &RawValue = serde_json::from_str(raw).map_err(|_| "this `content`")?;
        let mut block = text_block("");
        block.set("text", &text);
        return Ok(if is_blank(raw) { Vec::new() } else { vec![block] });
    }
    let parts: Vec<Body> = serde_json::from_str(raw).map_err(|_| "this `content`")?;
    parts.into_iter().filter_map(|part| block(part).transpose()).collect()
}

/// Whether a text is nothing but white space.
fn is_blank(raw: &str) -> bool {
    string(raw).is_some_and(|text| text.trim().is_empty())
}

/// A part of a message. One that is not OpenAI's is its own.
fn block(mut part: Body) -> Result<Option<Body>, String> {
    match part.get("type").and_then(string).as_deref() {
        Some("text") if part.get("text").is_some_and(is_blank) => Ok(None),
        Some("refusal") => {
            part.set("type", &"text");
            part.rename("refusal", "text");
            Ok(Some(part))
        }
        Some("image_url") => {
            let image = part.remove("image_url").ok_or("an image without a URL")?;
            let url = string(image.get()).or_else(|| string(Body::parse(image.get()).ok()?.get("url")?));
            let source = image_source(&url.ok_or("an image without a URL")?)?;
            part.remove("type");
            Ok(Some(sourced("image", &source, &part)))
        }
        Some("file") => {
            let file = part.remove("file").and_then(|raw| Body::parse(raw.get()).ok()).unwrap_or_default();
            part.remove("type");
            if let Some(name) = file.get("filename").and_then(string) {
                part.set("title", &name);
            }
            Ok(Some(sourced("document", &file_source(&file)?, &part)))
        }
        Some("input_audio") => Err("audio".to_owned()),
        _ => Ok(Some(part)),
    }
}

/// A block with a source, and what else the part had.
fn sourced(kind: &str, source: &serde_json::Value, rest: &Body) -> Body {
    let mut block = Body::new();
    block.set("type", &kind);
    block.set("source", source);
    copy(rest, &mut block);
    block
}

/// The type and the bytes, in base64, of a `data:` URL.
fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let kind = head.strip_suffix(";base64")?;
    Some((kind.split(';').next().unwrap_or(kind), data))
}

fn image_source(url: &str) -> Result<serde_json::Value, String> {
    match data_url(url) {
        Some((kind, data)) => Ok(json!({ "type": "base64", "media_type": kind, "data": data })),
        None if url.starts_with("data:") => Err("an image whose data is not base64".to_owned()),
        None => Ok(json!({ "type": "url", "url": url })),
    }
}

/// <https://platform.claude.com/docs/en/build-with-claude/pdf-support>, and
/// <https://platform.claude.com/docs/en/build-with-claude/files> for files that were uploaded before.
fn file_source(file: &Body) -> Result<serde_json::Value, String> {
    if let Some(id) = file.get("file_id").and_then(string) {
        return Ok(json!({ "type": "file", "file_id": id }));
    }
    let data = file.get("file_data").and_then(string).unwrap_or_default();
    match data_url(&data) {
        Some(("text/plain", data)) => {
            let bytes = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let text = bytes.ok_or("a text file that is not UTF-8")?;
            Ok(json!({ "type": "text", "media_type": "text/plain", "data": text }))
        }
        Some((kind @ "application/pdf", data)) => Ok(json!({ "type": "base64", "media_type": kind, "data": data })),
        Some((kind, _)) => Err(format!("a file of type {kind}")),
        None => Err("a file without data".to_owned()),
    }
}

/// The blocks of an assistant's turn: those that came with an answer, if it kept them, else what OpenAI's fields say.
fn assistant(message: &Body) -> Result<Vec<Body>, String> {
    let kept = |name: &str| message.get(name).and_then(|raw| serde_json::from_str::<Vec<Body>>(raw).ok());
    if let Some(blocks) = kept("content_blocks").filter(|blocks| !blocks.is_empty()) {
        return Ok(blocks);
    }
    if message.get("function_call").is_some() {
        return Err("a `function_call`, only `tool_calls`".to_owned());
    }
    let mut all = kept("thinking_blocks").unwrap_or_default();
    let said = blocks(message)?;
    let refusal = message.get("refusal").and_then(string).filter(|text| said.is_empty() && !text.is_empty());
    all.extend(said);
    all.extend(refusal.map(|text| text_block(&text)));
    for call in kept("tool_calls").unwrap_or_default() {
        all.push(tool_use(&call)?);
    }
    Ok(all)
}

fn tool_use(call: &Body) -> Result<Body, String> {
    let function =
        call.get("function").and_then(|raw| Body::parse(raw).ok()).ok_or("a tool call without a function")?;
    let name = function.get("name").and_then(string).unwrap_or_default();
    let written = function.get("arguments").and_then(string).unwrap_or_default();
    let arguments = if written.trim().is_empty() { "{}" } else { &written };
    let is_object = arguments.trim_start().starts_with('{');
    let input = serde_json::from_str::<&RawValue>(arguments).ok().filter(|_| is_object);
    let mut block = Body::new();
    block.set("type", &"tool_use");
    block.set("id", &call.get("id").and_then(string).unwrap_or_default());
    block.set("name", &name);
    block.set("input", &input.ok_or_else(|| format!("arguments of `{name}` that are no JSON object"))?);
    marks(call, &mut block, &["cache_control"]);
    Ok(block)
}

fn tool_result(message: &Body) -> Result<Body, String> {
    let mut block = Body::new();
    block.set("type", &"tool_result");
    block.set("tool_use_id", &message.get("tool_call_id").and_then(string).unwrap_or_default());
    match message.get("content") {
        Some(raw) if raw.starts_with('"') => {
            block.set("content", &serde_json::from_str::<&RawValue>(raw).map_err(|_| "this `content`")?);
        }
        raw => block.set("content", &content(raw)?),
    }
    marks(message, &mut block, &["is_error", "cache_control"]);
    Ok(block)
}

/// Carries over what is Anthropic's own beside OpenAI's fields.
fn marks(from: &Body, to: &mut Body, names: &[&str]) {
    for name in names {
        if let Some(raw) = from.get(name).and_then(|raw| serde_json::from_str::<&RawValue>(raw).ok()) {
            to.set(name, &raw);
        }
    }
}
