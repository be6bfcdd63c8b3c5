//! What a chat completion is asked with: OpenAI's chat body, checked.

use serde::de::MapAccess;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::checks::{array, integer, is_object, number, positive, wrong};
use super::open::{Known, Named, set};
use super::prompt::lenient_prompt;
use super::shared::Shared;
use super::text::is_whole_text;
use super::{Body, Prompt};
use crate::error::Invalid;

/// Fields that are thryd's to set, whoever wrote them.
const OWN_FIELDS: [&str; 2] = ["model", "stream"];

/// What a caller wants of a stream beside its usage, which is asked for anyway. A provider is told it with a stream only.
const STREAM_OPTIONS: &str = "stream_options";

/// OpenAI's chat-completions body without `model`; `message` was turned into `messages`.
///
/// ```
/// use thryd::kinds::CompletionRequest;
/// let request = CompletionRequest::message("Hi").set("temperature", 0.7);
/// assert_eq!(request.as_ref().get("messages"), Some(r#"[{"role":"user","content":"Hi"}]"#));
/// ```
#[derive(Clone, Debug)]
pub struct CompletionRequest {
    body: Body,
}

impl AsRef<Body> for CompletionRequest {
    fn as_ref(&self) -> &Body {
        &self.body
    }
}

impl CompletionRequest {
    /// One user message.
    ///
    /// # Panics
    /// Never: a text serialises.
    #[must_use]
    pub fn message(text: impl Into<String>) -> Self {
        let mut body = Body::new();
        body.put("messages", one_message(&serde_json::to_string(&text.into()).expect("a text serialises")));
        Self { body }
    }

    /// A conversation: anything that serialises to OpenAI's `messages`. The router checks it when it is sent.
    ///
    /// # Panics
    /// If the value does not serialise, which plain data always does.
    #[must_use]
    pub fn messages(messages: &impl Serialize) -> Self {
        let mut body = Body::new();
        body.set("messages", messages);
        Self { body }
    }

    /// The same request with a further field of the body, e.g. `temperature`.
    ///
    /// # Panics
    /// If the value does not serialise, which plain data always does.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Serialize) -> Self {
        self.body.set(name, &value);
        self
    }

    /// Checks a body: see [`Kind::request`](super::Kind::request).
    pub(super) fn check(mut body: Body) -> Result<Self, Invalid> {
        body.drop_nulls();
        for name in OWN_FIELDS {
            body.remove(name);
        }
        if let Some(raw) = body.get(STREAM_OPTIONS) {
            let options = Body::parse(raw).map_err(|_| wrong(format!("request.{STREAM_OPTIONS}"), "an object", raw))?;
            if options.is_empty() {
                body.remove(STREAM_OPTIONS);
            }
        }
        spell_out_message(&mut body)?;
        check_messages(&body)?;
        check_options(&body)?;
        Ok(Self { body })
    }

    /// What of it counts as tokens.
    pub(super) fn prompt(&self) -> Prompt<'_> {
        let mut prompt = lenient_prompt(self.body.get("messages").unwrap_or_default());
        prompt.texts.extend(self.body.get("response_format").map(Into::into));
        prompt.tools = ["tools", "functions"].iter().filter_map(|name| self.body.get(name)).map(Into::into).collect();
        let limit: Option<u64> = self.read("max_completion_tokens").or_else(|| self.read("max_tokens"));
        let answers: u64 = self.read("n").unwrap_or(1);
        prompt.completion = limit.map(|tokens| tokens.saturating_mul(answers));
        prompt
    }

    fn read<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Option<T> {
        serde_json::from_str(self.body.get(name)?).ok()
    }
}

/// A user's message of this content, JSON too, its fields in the order in which everybody writes them.
fn one_message(content: &str) -> Shared {
    Shared::new([r#"[{"role":"user","content":"#, content, "}]"].concat())
}

/// Turns `message` into `messages`, in its place, so that both spellings are one request.
fn spell_out_message(body: &mut Body) -> Result<(), Invalid> {
    let both = "either message or messages";
    let messages = match (body.get("message"), body.get("messages")) {
        (None, None) => return Err(Invalid::type_error("request", both, "neither")),
        (Some(_), Some(_)) => return Err(Invalid::type_error("request", both, "both")),
        (None, Some(_)) => return Ok(()),
        (Some(raw), None) => {
            if !is_whole_text(raw) {
                return Err(wrong("request.message".to_owned(), "a string", raw));
            }
            one_message(raw)
        }
    };
    body.rename("message", "messages");
    body.put("messages", messages);
    body.let_go();
    Ok(())
}

#[derive(Default)]
struct MessageShape<'a> {
    role: Option<&'a RawValue>,
    content: Option<&'a RawValue>,
}

impl<'de> Known<'de> for MessageShape<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "role" => set(&mut self.role, map),
            "content" => set(&mut self.content, map),
            _ => Ok(false),
        }
    }
}

impl MessageShape<'_> {
    /// What nearly all messages are; others may be right all the same.
    fn is_plain(&self) -> bool {
        [self.role, self.content].iter().all(|field| field.is_some_and(|raw| raw.get().starts_with('"')))
    }
}

fn check_messages(body: &Body) -> Result<(), Invalid> {
    let expected = "an array of messages that is not empty";
    // Once over all of them, for the many; what that does not settle is looked at piece by piece.
    let all = body.get("messages").and_then(|raw| serde_json::from_str::<Vec<Named<MessageShape<'_>>>>(raw).ok());
    if all.is_some_and(|all| !all.is_empty() && all.iter().all(|Named(message)| message.is_plain())) {
        return Ok(());
    }
    let items = array(body, "messages", expected)?.unwrap_or_default();
    if items.is_empty() {
        return Err(Invalid::type_error("request.messages", expected, "an empty array"));
    }
    for (place, item) in items.iter().enumerate() {
        let field = format!("request.messages[{place}]");
        let message = serde_json::from_str::<Named<MessageShape<'_>>>(item.get()).ok();
        let Some(Named(message)) = message else {
            return Err(wrong(field, "an object with a role", item.get()));
        };
        match message.role.map(RawValue::get) {
            None => return Err(Invalid::type_error(format!("{field}.role"), "a string", "nothing")),
            Some(raw) if !raw.starts_with('"') => return Err(wrong(format!("{field}.role"), "a string", raw)),
            Some(_) => {}
        }
        let content = message.content.map_or("null", RawValue::get);
        let is_parts = || serde_json::from_str::<Vec<&RawValue>>(content).is_ok_and(all_objects);
        if content != "null" && !content.starts_with('"') && !is_parts() {
            return Err(wrong(format!("{field}.content"), "a string, an array of objects or null", content));
        }
    }
    Ok(())
}

fn all_objects(items: Vec<&RawValue>) -> bool {
    items.into_iter().all(|item| is_object(item.get()))
}

/// The types and the documented ranges of OpenAI's options.
fn check_options(body: &Body) -> Result<(), Invalid> {
    number(body, "temperature", 0.0, 2.0)?;
    number(body, "top_p", 0.0, 1.0)?;
    number(body, "presence_penalty", -2.0, 2.0)?;
    number(body, "frequency_penalty", -2.0, 2.0)?;
    for name in ["max_completion_tokens", "max_tokens", "n"] {
        positive(body, name)?;
    }
    integer(body, "seed")?;
    body.read::<String>("reasoning_effort", "a string")?;
    if let Some(raw) = body.get("response_format").filter(|raw| !is_object(raw)) {
        return Err(wrong("request.response_format".to_owned(), "an object", raw));
    }
    if let Some(raw) = body.get("stop").filter(|raw| !raw.starts_with('"')) {
        let expected = "a string or an array of strings";
        serde_json::from_str::<Vec<String>>(raw).map_err(|_| wrong("request.stop".to_owned(), expected, raw))?;
    }
    let tools = array(body, "tools", "an array of objects")?.unwrap_or_default();
    match tools.iter().enumerate().find(|(_, tool)| !is_object(tool.get())) {
        Some((place, tool)) => Err(wrong(format!("request.tools[{place}]"), "an object", tool.get())),
        None => Ok(()),
    }
}
