//! What of a request counts as tokens, and the one walk over messages that finds it.
//!
//! The framing is that of `num_tokens_from_messages` in OpenAI's cookbook ("How to count tokens with tiktoken").

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::Image;
use super::checks::{is_object, wrong};
use crate::error::Invalid;
use crate::fields::describe;

/// Tokens that frame one message.
pub const MESSAGE_TOKENS: u64 = 3;

/// Tokens that a `name` adds to its own.
pub const NAME_TOKENS: u64 = 1;

/// Tokens that begin the answer.
pub const REPLY_TOKENS: u64 = 3;

/// What of a request counts as tokens. How much each part counts is the model's: `tokens::count_prompt`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Texts that are counted.
    pub texts: Vec<String>,
    /// Pictures, each counted by the model's rule; and one of unknown size for each file or sound, which have none.
    pub images: Vec<Image>,
    /// Tools and functions that may be called: each an array of definitions, as JSON.
    pub tools: Vec<String>,
    /// Tokens that the framing adds, e.g. per message.
    pub overhead: u64,
    /// The most that the answer may be: `max_completion_tokens`, or 0 for a kind that answers with no tokens.
    pub completion: Option<u64>,
}

/// The fields of a JSON object.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The texts and pictures of OpenAI's `messages`, given as JSON, and what their framing adds: role, content, name,
/// refusal, and name and arguments of tool calls. Ids are not counted; neither are sound and files.
///
/// # Errors
/// If they have not that form, naming the place.
pub fn messages_prompt(messages: &str) -> Result<Prompt, Invalid> {
    let mut prompt = Prompt { overhead: REPLY_TOKENS, ..Prompt::default() };
    for (place, raw) in items(messages)?.into_iter().enumerate() {
        prompt.message(&format!("messages[{place}]"), raw, None)?;
    }
    Ok(prompt)
}

/// As [`messages_prompt`], but of every message: one of another form counts as the text it is, and a part that is
/// neither text nor a picture as a picture of unknown size.
pub(super) fn lenient_prompt(messages: &str) -> Prompt {
    let mut prompt = Prompt { overhead: REPLY_TOKENS, ..Prompt::default() };
    for raw in items(messages).unwrap_or_default() {
        let (texts, images, overhead) = (prompt.texts.len(), prompt.images.len(), prompt.overhead);
        if prompt.message("", raw, Some(Image::default())).is_err() {
            prompt.texts.truncate(texts);
            prompt.images.truncate(images);
            prompt.overhead = overhead + MESSAGE_TOKENS;
            prompt.texts.push(raw.get().to_owned());
        }
    }
    prompt
}

impl Prompt {
    /// Adds one message; `other` is what a part counts as that is neither text nor a picture.
    fn message(&mut self, path: &str, raw: &RawValue, other: Option<Image>) -> Result<(), Invalid> {
        let message = object(path, raw)?;
        self.overhead += MESSAGE_TOKENS;
        for field in ["role", "refusal", "name"] {
            self.texts.extend(text(path, &message, field)?);
        }
        if given(&message, "name").is_some() {
            self.overhead += NAME_TOKENS;
        }
        self.content(&format!("{path}.content"), &message, other)?;
        for function in calls(&format!("{path}.tool_calls"), &message)? {
            for field in ["name", "arguments"] {
                self.texts.extend(text(path, &function, field)?);
            }
        }
        Ok(())
    }

    /// The content of a message: a text, or an array of parts.
    fn content(&mut self, path: &str, message: &Fields<'_>, other: Option<Image>) -> Result<(), Invalid> {
        let Some(content) = given(message, "content") else { return Ok(()) };
        if let Ok(text) = serde_json::from_str(content) {
            self.texts.push(text);
            return Ok(());
        }
        let parts: Vec<&RawValue> = serde_json::from_str(content)
            .map_err(|_| wrong(path.to_owned(), "a string or an array of parts", content))?;
        for (place, raw) in parts.into_iter().enumerate() {
            let path = format!("{path}[{place}]");
            let part = object(&path, raw)?;
            let texts = self.texts.len();
            for field in ["text", "refusal"] {
                self.texts.extend(text(&path, &part, field)?);
            }
            if let Some(image) = given(&part, "image_url") {
                self.images.push(Image::read(image));
            } else if texts == self.texts.len() {
                self.images.extend(other);
            }
        }
        Ok(())
    }
}

/// The functions that a message calls: `tool_calls[].function`, and `function_call` as it was before.
fn calls<'a>(path: &str, message: &Fields<'a>) -> Result<Vec<Fields<'a>>, Invalid> {
    let mut functions: Vec<&RawValue> = message.get("function_call").copied().into_iter().collect();
    if let Some(raw) = given(message, "tool_calls") {
        let calls: Vec<&RawValue> =
            serde_json::from_str(raw).map_err(|_| wrong(path.to_owned(), "an array of tool calls", raw))?;
        for call in calls {
            functions.extend(object(path, call)?.remove("function"));
        }
    }
    functions.into_iter().filter(|raw| raw.get() != "null").map(|raw| object(path, raw)).collect()
}

fn items(messages: &str) -> Result<Vec<&RawValue>, Invalid> {
    serde_json::from_str(messages).map_err(|_| {
        let value: Result<Value, _> = serde_json::from_str(messages);
        let got = value.map_or_else(|error| error.to_string(), |value| describe(&value));
        Invalid::type_error("messages", "an array of messages", got)
    })
}

fn object<'a>(path: &str, raw: &'a RawValue) -> Result<Fields<'a>, Invalid> {
    let read = || serde_json::from_str(raw.get()).ok();
    is_object(raw.get()).then(read).flatten().ok_or_else(|| wrong(path.to_owned(), "an object", raw.get()))
}

/// A field that is there and not null.
fn given<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a str> {
    fields.get(name).map(|raw| raw.get()).filter(|raw| *raw != "null")
}

fn text(path: &str, fields: &Fields<'_>, name: &str) -> Result<Option<String>, Invalid> {
    let read = |raw| serde_json::from_str(raw).map_err(|_| wrong(format!("{path}.{name}"), "a string", raw));
    given(fields, name).map(read).transpose()
}
