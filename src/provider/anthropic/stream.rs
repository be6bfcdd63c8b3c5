//! A streamed answer: Anthropic's events as OpenAI's chunks, <https://platform.claude.com/docs/en/build-with-claude/streaming>.
//!
//! The finish reason is said when the message has stopped, not when it is first heard of: a stream that ends between is
//! cut.

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::answer::{End, is_plain, is_thinking, kind_of, usage_of};
use super::conversation::string;
use super::request::copy;
use super::unreadable;
use crate::error::Failure;
use crate::kinds::{Body, Half};
use crate::provider::EventReader;

/// What the events of one stream have said so far.
#[derive(Default)]
pub(super) struct Reader {
    /// What every chunk begins with.
    id: Option<Box<RawValue>>,
    model: Option<Box<RawValue>>,
    /// In the order in which they began.
    blocks: Vec<Open>,
    calls: u64,
    usage: Body,
    end: End,
    /// What else the message has.
    top: Body,
}

/// A block as far as it has come.
struct Open {
    index: u64,
    kind: String,
    start: Body,
    /// Of a call: which one it is.
    call: u64,
    /// Text, thinking, or the JSON of the input.
    text: String,
    /// Half a character that it is to go on with.
    half: Half,
    signature: String,
    citations: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(default)]
    content_block: Option<Body>,
    #[serde(default)]
    message: Option<Body>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow, default)]
    partial_json: Option<&'a RawValue>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(borrow, default)]
    citation: Option<&'a RawValue>,
}

impl EventReader for Reader {
    fn read(&mut self, data: String) -> Result<Option<String>, Failure> {
        let event: Event<'_> = serde_json::from_str(&data).map_err(|error| {
            unreadable("an event of the stream cannot be used", &error.to_string(), data.as_bytes())
        })?;
        Ok(match event.kind.as_str() {
            "message_start" => Some(self.begin(event.message.unwrap_or_default())),
            "content_block_start" => self.open(event.index, event.content_block.unwrap_or_default()),
            "content_block_delta" => match event.delta {
                Some(delta) => {
                    self.begin_unsaid(event.index, &delta.kind, &data)?;
                    self.grow(event.index, &delta, &data)
                }
                None => None,
            },
            "content_block_stop" => self.close(event.index),
            "message_delta" => {
                self.change(&data);
                None
            }
            "message_stop" => Some(self.stop()),
            // In the shape in which every provider's failures are looked for.
            "error" => Some(data),
            // A ping, or what will be invented: it says nothing of the answer.
            _ => None,
        })
    }
}

impl Reader {
    fn begin(&mut self, mut message: Body) -> String {
        self.id = message.remove("id");
        self.model = message.remove("model");
        self.count(message.remove("usage").and_then(|raw| serde_json::from_str(raw.get()).ok()));
        for known in ["type", "role", "content", "stop_reason", "stop_sequence", "stop_details"] {
            message.remove(known);
        }
        message.drop_nulls();
        self.top = message;
        self.chunk(&json!({ "role": "assistant", "content": "" }))
    }

    /// How it ends, and what else is said of the message late: there may be several such events, and what one does not say
    /// stays.
    fn change(&mut self, data: &str) {
        let body = |raw: Box<RawValue>| Body::parse(raw.get()).unwrap_or_default();
        let mut event = Body::parse(data).unwrap_or_default();
        event.remove("type");
        self.count(event.remove("usage").map(body));
        let mut delta = event.remove("delta").map(body).unwrap_or_default();
        delta.drop_nulls();
        event.drop_nulls();
        let reason = delta.remove("stop_reason").and_then(|raw| string(raw.get()));
        self.end.reason = reason.or(self.end.reason.take());
        self.end.sequence = delta.remove("stop_sequence").or(self.end.sequence.take());
        self.end.details = delta.remove("stop_details").or(self.end.details.take());
        copy(&delta, &mut self.top);
        copy(&event, &mut self.top);
    }

    /// Counts are of all so far; those that are not said again stay.
    fn count(&mut self, usage: Option<Body>) {
        let mut usage = usage.unwrap_or_default();
        usage.drop_nulls();
        copy(&usage, &mut self.usage);
    }

    fn open(&mut self, index: u64, start: Body) -> Option<String> {
        let kind = kind_of(&start);
        let text = |name| start.get(name).and_then(string).unwrap_or_default();
        let call = self.calls;
        let (text, chunk) = match kind.as_str() {
            "text" => (text("text"), None),
            "thinking" => (text("thinking"), None),
            "tool_use" => {
                self.calls += 1;
                let input = start.get("input").filter(|input| *input != "{}").unwrap_or_default();
                let function = json!({ "name": text("name"), "arguments": input });
                let call = json!({ "index": call, "id": text("id"), "type": "function", "function": function });
                (input.to_owned(), Some(self.chunk(&json!({ "tool_calls": [call] }))))
            }
            _ => (String::new(), None),
        };
        let chunk = chunk.or_else(|| self.said(&kind, &text));
        let signature = start.get("signature").and_then(string).unwrap_or_default();
        self.blocks.push(Open {
            index,
            kind,
            start,
            call,
            text,
            signature,
            half: Half::default(),
            citations: Vec::new(),
        });
        chunk
    }

    /// A block whose beginning was lost on its way begins with its first piece, where that tells its kind.
    ///
    /// # Errors
    /// If it is a call: nobody knows of what.
    fn begin_unsaid(&mut self, index: u64, delta: &str, data: &str) -> Result<(), Failure> {
        if self.blocks.iter().any(|block| block.index == index) {
            return Ok(());
        }
        let kind = match delta {
            "text_delta" | "citations_delta" => "text",
            "thinking_delta" | "signature_delta" => "thinking",
            "input_json_delta" => {
                let reason = format!("it goes on with block {index}, a call that never began");
                return Err(unreadable("an event of the stream cannot be used", &reason, data.as_bytes()));
            }
            _ => return Ok(()),
        };
        let mut start = Body::new();
        start.set("type", &kind);
        self.open(index, start);
        Ok(())
    }

    /// What a piece of text or of thinking says.
    fn said(&self, kind: &str, text: &str) -> Option<String> {
        match kind {
            _ if text.is_empty() => None,
            "text" => Some(self.chunk(&Content { content: text })),
            "thinking" => Some(self.chunk(&Reasoning { reasoning_content: text })),
            _ => None,
        }
    }

    fn grow(&mut self, index: u64, delta: &Delta<'_>, data: &str) -> Option<String> {
        let block = self.blocks.iter_mut().rfind(|block| block.index == index)?;
        let piece = match delta.kind.as_str() {
            "text_delta" => delta.text?,
            "thinking_delta" => delta.thinking?,
            "input_json_delta" => delta.partial_json?,
            "signature_delta" => {
                block.signature.push_str(delta.signature.as_deref()?);
                return None;
            }
            "citations_delta" => {
                block.citations.extend(delta.citation.map(ToOwned::to_owned));
                return None;
            }
            // A compaction, and what will be invented.
            _ => {
                block.take_in(data);
                return None;
            }
        };
        let piece = &string(&block.half.join(piece.get()))?;
        block.text.push_str(piece);
        let (call, kind) = (block.call, block.kind.clone());
        if kind == "tool_use" && !piece.is_empty() {
            return Some(self.arguments(call, piece));
        }
        self.said(&kind, piece)
    }

    fn arguments(&self, call: u64, piece: &str) -> String {
        self.chunk(&json!({ "tool_calls": [{ "index": call, "function": { "arguments": piece } }] }))
    }

    fn close(&mut self, index: u64) -> Option<String> {
        let block = self.blocks.iter_mut().rfind(|block| block.index == index)?;
        if block.kind == "tool_use" && block.text.is_empty() {
            // A call without arguments comes without pieces.
            block.text.push_str("{}");
            let call = block.call;
            return Some(self.arguments(call, "{}"));
        }
        let whole = is_thinking(&block.kind).then(|| block.whole())?;
        Some(self.chunk(&json!({ "thinking_blocks": [whole] })))
    }

    fn stop(&mut self) -> String {
        let blocks: Vec<Body> = self.blocks.iter().map(Open::whole).collect();
        let mut delta = Body::new();
        if let Some(refusal) = self.end.refusal() {
            delta.set("refusal", &refusal);
        }
        if !is_plain(&blocks) {
            delta.set("content_blocks", &blocks);
        }
        let mut choice = Body::new();
        choice.set("index", &0);
        choice.set("delta", &delta);
        self.end.write(&mut choice);
        let last = self.event(&choice, (!self.usage.is_empty()).then(|| usage_of(&self.usage)).as_ref());
        match Body::parse(&last) {
            Ok(mut whole) if !self.top.is_empty() => {
                copy(&self.top, &mut whole);
                String::from_utf8(whole.write(&[]).to_vec()).unwrap_or(last)
            }
            _ => last,
        }
    }

    fn chunk(&self, delta: &impl Serialize) -> String {
        self.event(&Choice { index: 0, delta, finish_reason: None }, None)
    }

    fn event(&self, choice: &impl Serialize, usage: Option<&Body>) -> String {
        let (id, model) = (&self.id, &self.model);
        let chunk = Chunk { id, object: "chat.completion.chunk", created: 0, model, choices: [choice], usage };
        serde_json::to_string(&chunk).unwrap_or_default()
    }
}

impl Open {
    /// Fields of a delta that nobody here reads, as the block's own: a text goes on, and anything else is as it was said last.
    fn take_in(&mut self, data: &str) {
        let delta = Body::parse(data).ok().and_then(|event| Body::parse(event.get("delta")?).ok()).unwrap_or_default();
        for (name, raw) in delta.iter().filter(|(name, raw)| *name != "type" && *raw != "null") {
            // What is sealed is sealed as a whole.
            let is_text = !name.starts_with("encrypted_");
            let said = self.start.get(name).and_then(string).filter(|_| is_text);
            match (said, string(raw), serde_json::from_str::<&RawValue>(raw)) {
                (Some(said), Some(more), _) => self.start.set(name, &(said + &more)),
                (_, _, Ok(raw)) => self.start.set(name, &raw),
                _ => {}
            }
        }
    }

    /// The block as a whole answer would hold it.
    fn whole(&self) -> Body {
        let mut block = self.start.clone();
        match self.kind.as_str() {
            "text" => block.set("text", &self.text),
            "thinking" => {
                block.set("thinking", &self.text);
                block.set("signature", &self.signature);
            }
            // Calls of tools, its own ones too.
            _ if !self.text.is_empty() => {
                if let Ok(input) = serde_json::from_str::<&RawValue>(&self.text) {
                    block.set("input", &input);
                }
            }
            _ => {}
        }
        if !self.citations.is_empty() {
            let early = block.get("citations").and_then(|raw| serde_json::from_str::<Vec<&RawValue>>(raw).ok());
            let all: Vec<_> = early
                .into_iter()
                .flatten()
                .chain(self.citations.iter().map(AsRef::as_ref))
                .map(ToOwned::to_owned)
                .collect();
            block.set("citations", &all);
        }
        block
    }
}

#[derive(Serialize)]
struct Chunk<'a, C> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: &'a Option<Box<RawValue>>,
    object: &'static str,
    created: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: &'a Option<Box<RawValue>>,
    choices: [&'a C; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<&'a Body>,
}

#[derive(Serialize)]
struct Choice<'a, D> {
    index: u64,
    delta: &'a D,
    finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Content<'a> {
    content: &'a str,
}

#[derive(Serialize)]
struct Reasoning<'a> {
    reasoning_content: &'a str,
}
