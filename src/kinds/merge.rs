//! The fields of a streamed answer that thryd does not know: how what the events say of one goes together.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::MapAccess;
use serde_json::value::RawValue;

use super::Body;
use super::event::is_empty;
use super::open::{Known, MAX_ITEMS, Open, Rest};
use super::text::text;

/// How many objects in one another go together field by field; what is deeper is kept as it came last. No server sends as
/// many, and each costs stack, and its text once more.
const MAX_DEPTH: usize = 2;

/// What is known of an object of which nothing is.
#[derive(Default)]
struct Nothing;

impl<'de> Known<'de> for Nothing {
    fn take<A: MapAccess<'de>>(&mut self, _name: &str, _map: &mut A) -> Result<bool, A::Error> {
        Ok(false)
    }
}

/// How the pieces of a field go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Texts and lists are appended, in this field and in all below it.
    Grow,
    /// As `Grow`, of bytes in base64: a piece may have been padded at its end.
    Base64,
    /// The last piece counts, in this field and in all below it.
    Last,
    /// An object whose fields have rules of their own.
    Parts,
    /// Nobody knows. A field that always says the same has said it; else it grows, and the answer is not sure.
    Guess,
}

impl Rule {
    /// What OpenAI, and those who speak its dialect, do today.
    fn of(name: &str) -> Self {
        match name {
            "logprobs" | "annotations" | "images" | "reasoning_details" | "thinking_blocks" | "content_blocks"
            | "token_ids" | "arguments" | "transcript" | "text" | "thinking" => Self::Grow,
            "data" => Self::Base64,
            "function_call" | "audio" => Self::Parts,
            "content_filter_results"
            | "content_filter_result"
            | "content_filter_offsets"
            | "channel"
            | "stop_reason"
            | "native_finish_reason"
            | "matched_stop" => Self::Last,
            _ => Self::Guess,
        }
    }

    /// The rule of a field of an object that has this one.
    fn below(self, name: &str) -> Self {
        match self {
            Self::Grow | Self::Base64 | Self::Last => self,
            Self::Parts | Self::Guess => Self::of(name),
        }
    }
}

/// What the pieces of an event say of that event alone: no whole answer has it.
const OF_ONE_EVENT: [&str; 2] = ["token_id", "obfuscation"];

/// Fields as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Merge {
    fields: Vec<Field>,
    /// Whether a field was left out, because there are as many as there may be.
    is_full: bool,
}

#[derive(Debug)]
struct Field {
    name: String,
    rule: Rule,
    last: Box<RawValue>,
    whole: Whole,
    /// Whether all pieces were the same.
    is_constant: bool,
    /// Whether a piece was of another type than those before it.
    is_mixed: bool,
}

/// All pieces of a field together.
#[derive(Debug)]
enum Whole {
    Text(String),
    /// The items' texts, with commas between them.
    List(String),
    Object(Merge),
    Other,
}

impl Merge {
    /// Takes what one event says.
    pub(super) fn push(&mut self, rest: Rest<'_>) {
        self.push_below(Rule::Parts, rest, MAX_DEPTH);
    }

    fn push_below(&mut self, parent: Rule, rest: Rest<'_>, depth: usize) {
        for (name, raw) in rest {
            if OF_ONE_EVENT.contains(&&*name) {
                continue;
            }
            if let Some(field) = self.fields.iter_mut().find(|field| field.name == name) {
                field.push(raw, depth);
                continue;
            }
            if self.fields.len() == MAX_ITEMS {
                self.is_full = true;
                continue;
            }
            let rule = parent.below(&name);
            let last = raw.to_owned();
            let whole = Whole::new(raw, rule, depth);
            self.fields.push(Field { name: name.into_owned(), rule, last, whole, is_constant: true, is_mixed: false });
        }
    }

    /// Whether it is known how all pieces go together.
    pub(super) fn is_sure(&self) -> bool {
        !self.is_full && self.fields.iter().all(Field::is_sure)
    }

    /// Bytes that the fields hold, about.
    pub(super) fn len(&self) -> usize {
        let whole = |field: &Field| match &field.whole {
            Whole::Text(text) | Whole::List(text) => text.len(),
            Whole::Object(fields) => fields.len(),
            Whole::Other => 0,
        };
        self.fields.iter().map(|field| field.name.len() + field.last.get().len() + whole(field)).sum()
    }

    /// Whether a field came.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// Adds the fields to a body; those that it has already stay as they are.
    pub(super) fn write(&self, body: &mut Body) {
        for field in &self.fields {
            if body.get(&field.name).is_none() {
                body.set(&field.name, &field.value());
            }
        }
    }
}

impl Field {
    fn push(&mut self, raw: &RawValue, depth: usize) {
        // Servers that have nothing to say of a field in an event say that with an empty value.
        if is_empty(raw) {
            return;
        }
        let is_first = is_empty(&self.last);
        self.is_constant &= is_first || self.last.get() == raw.get();
        if !self.whole.push(raw, self.rule, depth) {
            self.is_mixed |= !is_first;
            self.whole = Whole::new(raw, self.rule, depth);
        }
        if self.last.get() != raw.get() {
            self.last = raw.to_owned();
        }
    }

    fn is_sure(&self) -> bool {
        if self.rule == Rule::Last {
            return true;
        }
        let is_whole = match &self.whole {
            Whole::Text(_) | Whole::List(_) => matches!(self.rule, Rule::Grow | Rule::Base64) || self.is_constant,
            Whole::Object(fields) => (self.rule != Rule::Guess || self.is_constant) && fields.is_sure(),
            Whole::Other => self.is_constant,
        };
        is_whole && !self.is_mixed
    }

    fn value(&self) -> Box<RawValue> {
        let shows_last = match self.rule {
            Rule::Last => !matches!(self.whole, Whole::Object(_)),
            Rule::Grow | Rule::Base64 => false,
            Rule::Parts | Rule::Guess => self.is_constant,
        };
        let whole = match &self.whole {
            Whole::Other => return self.last.clone(),
            _ if shows_last => return self.last.clone(),
            Whole::Text(text) => serde_json::value::to_raw_value(text),
            Whole::List(items) => RawValue::from_string(format!("[{items}]")),
            Whole::Object(fields) => {
                let mut body = Body::new();
                fields.write(&mut body);
                RawValue::from_string(String::from_utf8_lossy(&body.write(&[])).into_owned())
            }
        };
        whole.unwrap_or_else(|_| self.last.clone())
    }
}

impl Whole {
    fn new(raw: &RawValue, rule: Rule, depth: usize) -> Self {
        let mut whole = match raw.get().as_bytes().first() {
            Some(b'"') => Self::Text(String::new()),
            Some(b'[') => Self::List(String::new()),
            Some(b'{') if depth > 0 => Self::Object(Merge::default()),
            _ => Self::Other,
        };
        if whole.push(raw, rule, depth) { whole } else { Self::Other }
    }

    /// Appends a piece, and says whether it is of the same type.
    fn push(&mut self, raw: &RawValue, rule: Rule, depth: usize) -> bool {
        match self {
            Self::Text(whole) => match text(raw.get()) {
                Some(piece) if rule == Rule::Base64 => append_base64(whole, &piece),
                Some(piece) => {
                    whole.push_str(&piece);
                    true
                }
                None => false,
            },
            Self::List(items) => {
                let piece = raw.get().strip_prefix('[').and_then(|raw| raw.strip_suffix(']')).map(str::trim);
                let comma = if items.is_empty() || piece.is_none_or(str::is_empty) { "" } else { "," };
                items.push_str(comma);
                items.push_str(piece.unwrap_or_default());
                piece.is_some()
            }
            Self::Object(fields) => serde_json::from_str::<Open<'_, Nothing>>(raw.get())
                .map(|object| fields.push_below(rule, object.rest, depth.saturating_sub(1)))
                .is_ok(),
            Self::Other => !raw.get().starts_with(['"', '[', '{']) || depth == 0,
        }
    }
}

/// Appends bytes in base64 to others. Texts that are none are appended as they are.
fn append_base64(whole: &mut String, piece: &str) -> bool {
    // Padding in its midst would make it no base64: what is padded, and that is the last letters, is written anew.
    let start = whole.len().saturating_sub(4);
    let bytes = whole.get(start..).filter(|last| last.ends_with('=')).and_then(|last| {
        let mut bytes = STANDARD.decode(last).ok()?;
        bytes.extend(STANDARD.decode(piece).ok()?);
        Some(bytes)
    });
    match bytes {
        Some(bytes) => {
            whole.truncate(start);
            STANDARD.encode_string(bytes, whole);
        }
        None => whole.push_str(piece),
    }
    true
}
