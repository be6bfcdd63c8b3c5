//! What of a request counts as tokens, and the one walk over messages that finds it.
//!
//! The framing is that of `num_tokens_from_messages` in OpenAI's cookbook ("How to count tokens with tiktoken").

use std::borrow::Cow;
use std::fmt;

use serde::de::MapAccess;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Image;
use super::checks::{is_object, wrong};
use super::open::{Known, Named, set};
use super::text::unescaped;
use crate::error::Invalid;
use crate::fields::describe;

/// Tokens that frame one message.
pub const MESSAGE_TOKENS: u64 = 3;

/// Tokens that a `name` adds to its own.
pub const NAME_TOKENS: u64 = 1;

/// Tokens that begin the answer.
pub const REPLY_TOKENS: u64 = 3;

/// What of a request counts as tokens. How much each part counts is the model's: `tokens::count_prompt`. A text that has no
/// escapes is where it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt<'a> {
    /// Texts that are counted.
    pub texts: Vec<Cow<'a, str>>,
    /// Pictures, each counted by the model's rule; and one of unknown size for each file or sound, which have none.
    pub images: Vec<Image>,
    /// Tools and functions that may be called: each an array of definitions, as JSON.
    pub tools: Vec<Cow<'a, str>>,
    /// Tokens that the framing adds, e.g. per message.
    pub overhead: u64,
    /// The most that the answer may be: `max_completion_tokens`, or 0 for a kind that answers with no tokens.
    pub completion: Option<u64>,
}

/// The texts and pictures of OpenAI's `messages`, given as JSON, and what their framing adds: role, content, name,
/// refusal, and name and arguments of tool calls. Ids are not counted; neither are sound and files.
///
/// # Errors
/// If they have not that form, naming the place.
pub fn messages_prompt(messages: &str) -> Result<Prompt<'_>, Invalid> {
    let mut prompt = Prompt { overhead: REPLY_TOKENS, ..Prompt::default() };
    for (place, raw) in items(messages)?.into_iter().enumerate() {
        prompt.message(Place::Message(place), raw, None)?;
    }
    Ok(prompt)
}

/// As [`messages_prompt`], but of every message: one of another form counts as the text it is, and a part that is
/// neither text nor a picture as a picture of unknown size.
pub(super) fn lenient_prompt(messages: &str) -> Prompt<'_> {
    let mut prompt = Prompt { overhead: REPLY_TOKENS, ..Prompt::default() };
    for (place, raw) in items(messages).unwrap_or_default().into_iter().enumerate() {
        let (texts, images, overhead) = (prompt.texts.len(), prompt.images.len(), prompt.overhead);
        if prompt.message(Place::Message(place), raw, Some(Image::default())).is_err() {
            prompt.texts.truncate(texts);
            prompt.images.truncate(images);
            prompt.overhead = overhead + MESSAGE_TOKENS;
            prompt.texts.push(raw.get().into());
        }
    }
    prompt
}

impl<'a> Prompt<'a> {
    /// Adds one message; `other` is what a part counts as that is neither text nor a picture.
    fn message(&mut self, place: Place<'_>, raw: &'a RawValue, other: Option<Image>) -> Result<(), Invalid> {
        let message: Message<'_> = object(place, raw)?;
        self.overhead += MESSAGE_TOKENS;
        for (name, raw) in [("role", message.role), ("refusal", message.refusal), ("name", message.name)] {
            self.text(place, name, raw)?;
        }
        if given(message.name).is_some() {
            self.overhead += NAME_TOKENS;
        }
        self.content(Place::Field(&place, "content"), message.content, other)?;
        let called = Place::Field(&place, "tool_calls");
        for function in calls(called, &message)? {
            let function: Function<'_> = object(called, function)?;
            self.text(place, "name", function.name)?;
            self.text(place, "arguments", function.arguments)?;
        }
        Ok(())
    }

    /// The content of a message: a text, or an array of parts.
    fn content(&mut self, place: Place<'_>, content: Raw<'a>, other: Option<Image>) -> Result<(), Invalid> {
        let Some(content) = given(content) else { return Ok(()) };
        if let Ok(text) = unescaped(content) {
            self.texts.push(text);
            return Ok(());
        }
        let parts: Vec<&RawValue> = serde_json::from_str(content)
            .map_err(|_| wrong(place.to_string(), "a string or an array of parts", content))?;
        for (index, raw) in parts.into_iter().enumerate() {
            let place = Place::Item(&place, index);
            let part: Part<'_> = object(place, raw)?;
            let texts = self.texts.len();
            self.text(place, "text", part.text)?;
            self.text(place, "refusal", part.refusal)?;
            if let Some(image) = given(part.image_url) {
                self.images.push(Image::read(image));
            } else if texts == self.texts.len() {
                self.images.extend(other);
            }
        }
        Ok(())
    }

    /// Adds the text of a field, if it is there.
    fn text(&mut self, place: Place<'_>, name: &str, raw: Raw<'a>) -> Result<(), Invalid> {
        let Some(raw) = given(raw) else { return Ok(()) };
        self.texts.push(unescaped(raw).map_err(|_| wrong(format!("{place}.{name}"), "a string", raw))?);
        Ok(())
    }
}

/// Where something stands, for a message.
#[derive(Clone, Copy)]
enum Place<'p> {
    Message(usize),
    Field(&'p Self, &'static str),
    Item(&'p Self, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(index) => write!(f, "messages[{index}]"),
            Self::Field(object, name) => write!(f, "{object}.{name}"),
            Self::Item(list, index) => write!(f, "{list}[{index}]"),
        }
    }
}

/// A field as it stands in the text.
type Raw<'a> = Option<&'a RawValue>;

/// An object with these fields, and whatever others.
macro_rules! fields {
    ($object:ident: $($name:ident),+) => {
        #[derive(Default)]
        struct $object<'a> {
            $($name: Raw<'a>,)+
        }

        impl<'de> Known<'de> for $object<'de> {
            fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
                match name {
                    $(stringify!($name) => set(&mut self.$name, map),)+
                    _ => Ok(false),
                }
            }
        }
    };
}

fields!(Message: role, refusal, name, content, tool_calls, function_call);
fields!(Part: text, refusal, image_url);
fields!(Call: function);
fields!(Function: name, arguments);

/// The functions that a message calls: `tool_calls[].function`, and `function_call` as it was before.
fn calls<'a>(place: Place<'_>, message: &Message<'a>) -> Result<Vec<&'a RawValue>, Invalid> {
    let mut functions: Vec<&RawValue> = message.function_call.into_iter().collect();
    if let Some(raw) = given(message.tool_calls) {
        let calls: Vec<&RawValue> =
            serde_json::from_str(raw).map_err(|_| wrong(place.to_string(), "an array of tool calls", raw))?;
        for call in calls {
            let call: Call<'_> = object(place, call)?;
            functions.extend(call.function);
        }
    }
    functions.retain(|raw| raw.get() != "null");
    Ok(functions)
}

fn items(messages: &str) -> Result<Vec<&RawValue>, Invalid> {
    serde_json::from_str(messages).map_err(|_| {
        let value: Result<Value, _> = serde_json::from_str(messages);
        let got = value.map_or_else(|error| error.to_string(), |value| describe(&value));
        Invalid::type_error("messages", "an array of messages", got)
    })
}

fn object<'a, T: Known<'a>>(place: Place<'_>, raw: &'a RawValue) -> Result<T, Invalid> {
    let read = || serde_json::from_str(raw.get()).ok();
    let Named(fields) =
        is_object(raw.get()).then(read).flatten().ok_or_else(|| wrong(place.to_string(), "an object", raw.get()))?;
    Ok(fields)
}

/// A field that is there and not null.
fn given(field: Raw<'_>) -> Option<&str> {
    field.map(RawValue::get).filter(|raw| *raw != "null")
}
