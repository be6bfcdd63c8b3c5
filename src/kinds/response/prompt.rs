//! What of a request of the Responses API counts as tokens. What the provider keeps of earlier ones is not seen here.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::MapAccess;
use serde_json::value::RawValue;

use super::blob;
use crate::kinds::open::{Known, Named, set};
use crate::kinds::text::{borrowed, text};
use crate::kinds::{Body, Image, MESSAGE_TOKENS, Prompt, REPLY_TOKENS};

/// An input item, or a part of one.
#[derive(Default)]
struct Item<'a> {
    kind: Option<&'a RawValue>,
    content: Option<&'a RawValue>,
    output: Option<&'a RawValue>,
    summary: Option<&'a RawValue>,
    image_url: Option<&'a RawValue>,
    detail: Option<&'a RawValue>,
    /// Whatever else is a text that the model reads.
    texts: Vec<&'a RawValue>,
}

impl<'de> Known<'de> for Item<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "type" => set(&mut self.kind, map),
            "content" => set(&mut self.content, map),
            "output" => set(&mut self.output, map),
            "summary" => set(&mut self.summary, map),
            "image_url" => set(&mut self.image_url, map),
            "detail" => set(&mut self.detail, map),
            "role" | "name" | "arguments" | "input" | "text" | "refusal" => {
                self.texts.push(map.next_value()?);
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

/// What of it counts.
pub(super) fn of(body: &Body) -> Prompt<'_> {
    let mut prompt = Prompt { overhead: REPLY_TOKENS, ..Prompt::default() };
    if let Some(instructions) = body.get("instructions") {
        match borrowed(instructions) {
            Some(text) => prompt.framed(["system".into(), text]),
            None => prompt.items(instructions),
        }
    }
    match body.get("input") {
        Some(raw) if raw.starts_with('"') => prompt.framed(["user".into(), borrowed(raw).unwrap_or_default()]),
        Some(raw) => prompt.items(raw),
        None => {}
    }
    // Of a template only its variables are known here.
    if let Some(template) = body.get("prompt").and_then(|raw| serde_json::from_str(raw).ok()) {
        prompt.unknown(template);
    }
    let format = body.get("text").and_then(|text| Body::parse(text).ok()?.remove("format"));
    prompt.texts.extend(format.map(|format| format.get().to_owned().into()));
    let Prompt { tools, images, .. } = &mut prompt;
    tools.extend(body.get("tools").map(|tools| nested(tools, images).into()));
    prompt.completion = body.get("max_output_tokens").and_then(|raw| serde_json::from_str(raw).ok());
    prompt
}

impl<'a> Prompt<'a> {
    fn framed(&mut self, texts: [Cow<'a, str>; 2]) {
        self.overhead += MESSAGE_TOKENS;
        self.texts.extend(texts);
    }

    /// Adds a list of items.
    fn items(&mut self, raw: &'a str) {
        for item in serde_json::from_str::<Vec<&RawValue>>(raw).unwrap_or_default() {
            self.overhead += MESSAGE_TOKENS;
            self.item(item);
        }
    }

    /// Adds what nobody knows: it counts as the text it is, without what is no text.
    fn unknown(&mut self, raw: &'a RawValue) {
        let text = blob::without(raw, &mut self.images);
        self.texts.push(text);
    }

    /// Adds an item, or a part of one.
    fn item(&mut self, raw: &'a RawValue) {
        let Ok(Named(item)) = serde_json::from_str::<Named<Item<'_>>>(raw.get()) else {
            self.unknown(raw);
            return;
        };
        match item.kind.and_then(|kind| text(kind.get())).as_deref() {
            Some("input_image") => {
                let url = item.image_url.map_or("null", RawValue::get);
                self.images.push(Image::of(url, item.detail.map(RawValue::get)));
                return;
            }
            // Files and sound have no rule.
            Some("input_file" | "input_audio") => {
                self.images.push(Image::default());
                return;
            }
            // What it refers to is the provider's.
            Some("item_reference") => return,
            None
            | Some(
                "message"
                | "input_text"
                | "output_text"
                | "summary_text"
                | "reasoning_text"
                | "refusal"
                | "reasoning"
                | "function_call"
                | "function_call_output"
                | "custom_tool_call"
                | "custom_tool_call_output",
            ) => {}
            Some(_) => {
                self.unknown(raw);
                return;
            }
        }
        self.texts.extend(item.texts.iter().filter_map(|raw| borrowed(raw.get())));
        for nested in [item.content, item.output, item.summary].into_iter().flatten() {
            match borrowed(nested.get()) {
                Some(text) => self.texts.push(text),
                None => self.parts(nested),
            }
        }
    }

    fn parts(&mut self, raw: &'a RawValue) {
        for part in serde_json::from_str::<Vec<&RawValue>>(raw.get()).unwrap_or_default() {
            self.item(part);
        }
    }
}

/// Tools in the form that the rule for them knows: functions that stand flat in it are nested. What is no text is taken out of
/// the others.
fn nested(tools: &str, images: &mut Vec<Image>) -> String {
    #[derive(Deserialize)]
    struct Tool<'a> {
        #[serde(rename = "type", borrow)]
        kind: &'a RawValue,
    }
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(tools) else { return tools.to_owned() };
    let nest = |raw: &RawValue| {
        let is_function =
            serde_json::from_str::<Tool<'_>>(raw.get()).is_ok_and(|tool| tool.kind.get() == "\"function\"");
        let mut function = Body::parse(raw.get()).ok().filter(|tool| is_function && tool.get("function").is_none())?;
        function.remove("type");
        let mut tool = Body::new();
        tool.set("type", &"function");
        tool.set("function", &function);
        Some(String::from_utf8_lossy(&tool.write(&[])).into_owned())
    };
    let items: Vec<Cow<'_, str>> =
        items.iter().map(|raw| nest(raw).map_or_else(|| blob::without(raw, images), Cow::Owned)).collect();
    format!("[{}]", items.join(","))
}
