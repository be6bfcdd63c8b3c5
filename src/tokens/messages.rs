//! What a chat costs beyond its texts: the framing of messages, and images.
//!
//! The rules are those that OpenAI publishes: `num_tokens_from_messages` of its cookbook ("How to count tokens with
//! tiktoken") for messages, the tiles of its guide to vision for images.

use serde_json::{Map, Value};

use super::known;
use crate::error::Invalid;
use crate::fields::describe;
use crate::kinds::Prompt;

/// Tokens that frame one message.
pub const MESSAGE_TOKENS: u64 = 3;

/// Tokens that a `name` adds to its own.
pub const NAME_TOKENS: u64 = 1;

/// Tokens that begin the answer.
pub const REPLY_TOKENS: u64 = 3;

/// Tokens of an image with `detail: 'low'`: 85, whatever its size.
pub const LOW_DETAIL_IMAGE_TOKENS: u64 = 85;

/// Tokens of any other image: 85, and 170 for each of the four tiles of 512 px that cover 1024 x 1024 px scaled to 768.
/// Dimensions are not looked at: a picture may be a URL.
pub const IMAGE_TOKENS: u64 = 85 + 4 * 170;

/// Tokens of OpenAI's `messages`, given as JSON: role, content, name, refusal, and name and arguments of tool calls,
/// each with its framing. Ids are not counted; neither are sound and files, whose cost nobody publishes.
///
/// # Errors
/// A type error if the model is unknown or the messages have not that form, naming the place; a range error if a text
/// is one that [`count`](super::count) refuses.
pub fn count_messages(messages: &str, model: &str) -> Result<u64, Invalid> {
    let encoding = known(model)?;
    let prompt = messages_prompt(messages)?;
    prompt.texts.iter().try_fold(prompt.overhead, |sum, text| {
        let tokens = encoding.count(text).map_err(|run| run.refusal("messages"))?;
        Ok(sum.saturating_add(tokens))
    })
}

/// The texts of OpenAI's `messages`, given as JSON, and what their framing adds.
///
/// # Errors
/// If they have not that form.
pub fn messages_prompt(messages: &str) -> Result<Prompt, Invalid> {
    const EXPECTED: &str = "an array of messages";
    let value: Value =
        serde_json::from_str(messages).map_err(|error| Invalid::type_error("messages", EXPECTED, error))?;
    let Value::Array(items) = value else { return Err(Invalid::type_error("messages", EXPECTED, describe(&value))) };
    let mut prompt = Prompt { overhead: REPLY_TOKENS, ..Prompt::default() };
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("messages[{index}]");
        let mut message = object(&path, item)?;
        prompt.overhead += MESSAGE_TOKENS;
        for field in ["role", "refusal"] {
            prompt.texts.extend(text(&path, &mut message, field)?);
        }
        if let Some(name) = text(&path, &mut message, "name")? {
            prompt.overhead += NAME_TOKENS;
            prompt.texts.push(name);
        }
        content(&path, &mut message, &mut prompt)?;
        for mut function in calls(&path, &mut message)? {
            for field in ["name", "arguments"] {
                prompt.texts.extend(text(&path, &mut function, field)?);
            }
        }
    }
    Ok(prompt)
}

/// The content of a message: a text, or an array of parts.
fn content(path: &str, message: &mut Map<String, Value>, prompt: &mut Prompt) -> Result<(), Invalid> {
    match message.remove("content") {
        None | Some(Value::Null) => {}
        Some(Value::String(content)) => prompt.texts.push(content),
        Some(Value::Array(parts)) => {
            for (index, part) in parts.into_iter().enumerate() {
                let path = format!("{path}.content[{index}]");
                let mut part = object(&path, part)?;
                for field in ["text", "refusal"] {
                    prompt.texts.extend(text(&path, &mut part, field)?);
                }
                if part.get("type").is_some_and(|kind| kind == "image_url") {
                    let is_low =
                        part.get("image_url").and_then(|image| image.get("detail")).is_some_and(|it| it == "low");
                    prompt.overhead += if is_low { LOW_DETAIL_IMAGE_TOKENS } else { IMAGE_TOKENS };
                }
            }
        }
        Some(other) => {
            let expected = "a string or an array of parts";
            return Err(Invalid::type_error(format!("{path}.content"), expected, describe(&other)));
        }
    }
    Ok(())
}

/// The functions that a message calls: `tool_calls[].function`, and `function_call` as it was before.
fn calls(path: &str, message: &mut Map<String, Value>) -> Result<Vec<Map<String, Value>>, Invalid> {
    let path = format!("{path}.tool_calls");
    let mut functions: Vec<Value> = message.remove("function_call").into_iter().collect();
    match message.remove("tool_calls") {
        None | Some(Value::Null) => {}
        Some(Value::Array(calls)) => {
            for call in calls {
                functions.extend(object(&path, call)?.remove("function"));
            }
        }
        Some(other) => return Err(Invalid::type_error(path, "an array of tool calls", describe(&other))),
    }
    functions.into_iter().filter(|function| !function.is_null()).map(|function| object(&path, function)).collect()
}

fn object(path: &str, value: Value) -> Result<Map<String, Value>, Invalid> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(Invalid::type_error(path, "an object", describe(&other))),
    }
}

fn text(path: &str, map: &mut Map<String, Value>, field: &str) -> Result<Option<String>, Invalid> {
    match map.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Invalid::type_error(format!("{path}.{field}"), "a string", describe(&other))),
    }
}
