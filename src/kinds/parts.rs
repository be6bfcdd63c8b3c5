//! The content of a stream that is more than text: the list of parts that a whole answer would have.

use std::borrow::Cow;

use serde::de::MapAccess;
use serde_json::json;
use serde_json::value::RawValue;

use super::Body;
use super::merge::Merge;
use super::open::{Known, MAX_ITEMS, Open};
use super::text::text;

/// Parts as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Parts(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    /// Pieces of the same type, which go on with one another: Mistral's `thinking`.
    Growing(String, Merge),
    /// A picture, a reference: each stands for itself.
    Whole(Box<RawValue>),
}

/// Types whose pieces in a row are one part.
const GROWING: [&str; 2] = ["thinking", "reasoning"];

/// What tells how a part goes on.
#[derive(Default)]
struct Kind<'a> {
    kind: Option<Cow<'a, str>>,
    text: Option<&'a RawValue>,
}

impl<'de> Known<'de> for Kind<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "type" => super::open::set(&mut self.kind, map),
            "text" => super::open::set(&mut self.text, map),
            _ => Ok(false),
        }
    }
}

impl Parts {
    /// Content that was text until now.
    pub(super) fn new(so_far: &str) -> Self {
        let mut parts = Self::default();
        parts.push_text(so_far);
        parts
    }

    /// Takes the content of one event: a string, whose text is `plain`, or a list.
    pub(super) fn push(&mut self, raw: &RawValue, plain: &str) -> Result<(), &'static str> {
        if !raw.get().starts_with('[') {
            self.push_text(plain);
            return Ok(());
        }
        let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| "its content cannot be read")?;
        for item in items {
            self.push_item(item);
        }
        if self.0.len() > MAX_ITEMS { Err("its content has too many parts") } else { Ok(()) }
    }

    fn push_item(&mut self, item: &RawValue) {
        let Ok(Open { known: Kind { kind, text: raw_text }, rest }) =
            serde_json::from_str::<Open<'_, Kind<'_>>>(item.get())
        else {
            self.0.push(Part::Whole(item.to_owned()));
            return;
        };
        let plain = raw_text.and_then(|raw| text(raw.get()));
        match (kind.as_deref(), plain) {
            (None | Some("text"), Some(plain)) if rest.is_empty() => self.push_text(&plain),
            (Some(kind), None) if GROWING.contains(&kind) => {
                if let Some(Part::Growing(last, fields)) = self.0.last_mut()
                    && last == kind
                {
                    fields.push(rest);
                } else {
                    let mut fields = Merge::default();
                    fields.push(rest);
                    self.0.push(Part::Growing(kind.to_owned(), fields));
                }
            }
            _ => self.0.push(Part::Whole(item.to_owned())),
        }
    }

    fn push_text(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.0.push(Part::Text(text.to_owned())),
        }
    }

    /// Bytes that they hold, about.
    pub(super) fn len(&self) -> usize {
        let length = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Growing(_, fields) => fields.len(),
            Part::Whole(raw) => raw.get().len(),
        };
        self.0.iter().map(length).sum()
    }

    /// The list.
    pub(super) fn value(&self) -> Vec<Box<RawValue>> {
        let raw = |part: &Part| match part {
            Part::Text(text) => serde_json::value::to_raw_value(&json!({ "type": "text", "text": text })).ok(),
            Part::Growing(kind, fields) => {
                let mut body = Body::new();
                body.set("type", kind);
                fields.write(&mut body);
                serde_json::value::to_raw_value(&body).ok()
            }
            Part::Whole(raw) => Some(raw.clone()),
        };
        self.0.iter().filter_map(raw).collect()
    }
}
