//! The items of a streamed model response, as far as they have come.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::output::{Item, MAX_ITEMS, Slot};
use crate::kinds::text::{Half, text};
use crate::kinds::{Body, ToolCall};

/// One item.
#[derive(Debug, Default)]
pub(super) struct StreamedItem {
    /// Its place in the output, if the provider says.
    index: Option<u64>,
    id: String,
    texts: Vec<StreamedText>,
    /// Which call it is, among all.
    pub call: Option<usize>,
    /// As it began.
    begun: Option<Box<RawValue>>,
    /// As it ended.
    done: Option<Box<RawValue>>,
}

/// One text of an item.
#[derive(Debug)]
pub(super) struct StreamedText {
    slot: Slot,
    /// Among those of its sort.
    place: u64,
    text: String,
    /// Half a character that it is to go on with.
    half: Half,
    annotations: Vec<Box<RawValue>>,
}

impl StreamedText {
    /// Appends a piece, and gives what it says.
    pub(super) fn push(&mut self, raw: &RawValue) -> Option<String> {
        let delta = text(&self.half.join(raw.get())).filter(|delta| !delta.is_empty())?;
        self.text.push_str(&delta);
        Some(delta)
    }

    /// Appends what of the whole has not come in pieces, and gives it.
    pub(super) fn catch_up(&mut self, whole: &str) -> Option<String> {
        rest(&mut self.text, whole)
    }

    pub(super) fn annotate(&mut self, annotation: &RawValue) {
        self.annotations.push(annotation.to_owned());
    }

    fn part(&self) -> Value {
        let text = &self.text;
        match self.slot {
            Slot::Text => json!({ "type": "output_text", "text": text, "annotations": self.annotations }),
            Slot::Refusal => json!({ "type": "refusal", "refusal": text }),
            Slot::Summary => json!({ "type": "summary_text", "text": text }),
            Slot::Reasoning => json!({ "type": "reasoning_text", "text": text }),
        }
    }
}

/// Appends to a text what it lacks of the whole, and gives it. Nothing, if it is not the beginning of the whole.
pub(super) fn rest(so_far: &mut String, whole: &str) -> Option<String> {
    let rest = whole.strip_prefix(so_far.as_str()).filter(|rest| !rest.is_empty())?.to_owned();
    so_far.push_str(&rest);
    Some(rest)
}

impl StreamedItem {
    /// The text at this place.
    pub(super) fn text(&mut self, slot: Slot, place: u64) -> Result<&mut StreamedText, &'static str> {
        let known = self.texts.iter().rposition(|text| (text.slot, text.place) == (slot, place));
        let known = known.unwrap_or_else(|| {
            let (text, half, annotations) = (String::new(), Half::default(), Vec::new());
            self.texts.push(StreamedText { slot, place, text, half, annotations });
            self.texts.len() - 1
        });
        if known >= MAX_ITEMS { Err("an item of its output has too many parts") } else { Ok(&mut self.texts[known]) }
    }

    /// The item itself has come, as it begins or as it ends.
    pub(super) fn keep(&mut self, raw: &RawValue, item: &Item<'_>, is_done: bool) {
        if let Some(id) = item.id.as_deref().filter(|_| self.id.is_empty()) {
            id.clone_into(&mut self.id);
        }
        let place = if is_done { &mut self.done } else { &mut self.begun };
        *place = Some(raw.to_owned());
    }

    pub(super) fn is_done(&self) -> bool {
        self.done.is_some()
    }

    /// Bytes that it holds, about.
    pub(super) fn len(&self) -> usize {
        let raw = |raw: &Option<Box<RawValue>>| raw.as_ref().map_or(0, |raw| raw.get().len());
        let texts = self.texts.iter().map(|text| {
            text.text.len() + text.annotations.iter().map(|annotation| annotation.get().len()).sum::<usize>()
        });
        raw(&self.begun) + raw(&self.done) + texts.sum::<usize>()
    }

    /// The item as it ended; or as its pieces make it, if nobody said.
    pub(super) fn value(&self, calls: &[ToolCall]) -> Box<RawValue> {
        if let Some(done) = &self.done {
            return done.clone();
        }
        let mut item = self.begun.as_ref().and_then(|raw| Body::parse(raw.get()).ok()).unwrap_or_default();
        let of = |slots: &[Slot]| {
            let texts = self.texts.iter().filter(|text| slots.contains(&text.slot));
            texts.map(StreamedText::part).collect::<Vec<_>>()
        };
        let mut missing = |name: &str, value: Value| {
            if item.get(name).is_none() {
                item.set(name, &value);
            }
        };
        let (said, summary) = (of(&[Slot::Text, Slot::Refusal]), of(&[Slot::Summary]));
        let reasoning = of(&[Slot::Reasoning]);
        if let Some(call) = self.call.and_then(|call| calls.get(call)) {
            missing("type", "function_call".into());
            missing("call_id", call.id.as_str().into());
            missing("name", call.name.as_str().into());
            let is_custom = item.get("type") == Some("\"custom_tool_call\"");
            item.set(if is_custom { "input" } else { "arguments" }, &call.arguments);
        } else if !said.is_empty() {
            missing("type", "message".into());
            missing("role", "assistant".into());
            item.set("content", &said);
        } else if !(summary.is_empty() && reasoning.is_empty()) {
            missing("type", "reasoning".into());
            item.set("summary", &summary);
            if !reasoning.is_empty() {
                item.set("content", &reasoning);
            }
        }
        if !self.id.is_empty() && item.get("id").is_none() {
            item.set("id", &self.id);
        }
        item.set("status", &"completed");
        serde_json::value::to_raw_value(&item).unwrap_or_default()
    }
}

impl StreamedItem {
    /// Whether nobody has told what it is: it came in texts that name no item.
    fn is_anonymous(&self) -> bool {
        self.index.is_none() && self.call.is_none() && self.begun.is_none() && self.done.is_none()
    }

    fn texts_in(&self, slot: Slot) -> impl Iterator<Item = &str> {
        self.texts.iter().filter(move |text| text.slot == slot).map(|text| text.text.as_str())
    }

    fn has_said(&self, slot: Slot) -> bool {
        self.texts_in(slot).any(|text| !text.is_empty())
    }
}

/// All items.
#[derive(Debug, Default)]
pub(super) struct StreamedItems(pub Vec<StreamedItem>);

impl StreamedItems {
    fn known(&self, index: Option<u64>, id: Option<&str>) -> Option<usize> {
        let id = id.filter(|id| !id.is_empty());
        let by_id = id.and_then(|id| self.0.iter().rposition(|item| item.id == id));
        let by_index = || index.and_then(|index| self.0.iter().rposition(|item| item.index == Some(index)));
        let last = || self.0.len().checked_sub(1).filter(|_| index.is_none() && id.is_none());
        by_id.or_else(by_index).or_else(last)
    }

    /// Whether there is an item that such an event is about.
    pub(super) fn has(&self, index: Option<u64>, id: Option<&str>) -> bool {
        self.known(index, id).is_some()
    }

    /// Gives these texts of an item, as far as they were said of no item, to it: what some servers say without an index
    /// before they tell of the item itself is not said twice.
    pub(super) fn adopt(
        &mut self,
        index: Option<u64>,
        id: Option<&str>,
        texts: &[(Slot, u64, String)],
    ) -> Result<(), &'static str> {
        for slot in [Slot::Text, Slot::Refusal, Slot::Summary, Slot::Reasoning] {
            let of_slot = |item: &StreamedItem| item.is_anonymous() && item.has_said(slot);
            let Some(from) = self.0.iter().position(of_slot) else { continue };
            let known = self.known(index, id).filter(|known| *known != from);
            if known.is_none() && self.has(index, id) {
                continue;
            }
            let told =
                || self.0[from].texts_in(slot).chain(known.iter().flat_map(|known| self.0[*known].texts_in(slot)));
            let whole = || texts.iter().filter(|text| text.0 == slot);
            // Told by the lengths first, lest each of many events copy a long text.
            if told().map(str::len).sum::<usize>() > whole().map(|text| text.2.len()).sum::<usize>() {
                continue;
            }
            let told: String = told().collect();
            if !whole().map(|text| text.2.as_str()).collect::<String>().starts_with(&told) {
                continue;
            }
            let to = self.item(index, id)?;
            to.texts.iter_mut().filter(|text| text.slot == slot).for_each(|text| text.text.clear());
            let mut rest = told.as_str();
            for (_, place, text) in whole() {
                let (said, after) = rest.split_at(rest.len().min(text.len()));
                to.text(slot, *place)?.catch_up(said);
                rest = after;
            }
            self.0[from].texts.retain(|text| text.slot != slot);
            if self.0[from].texts.is_empty() {
                self.0.remove(from);
            }
        }
        Ok(())
    }

    /// The item that an event is about: by its id, else by its place, else the last one. Some servers give every event of an
    /// item another id.
    pub(super) fn item(&mut self, index: Option<u64>, id: Option<&str>) -> Result<&mut StreamedItem, &'static str> {
        let id = id.filter(|id| !id.is_empty());
        let known = self.known(index, id).unwrap_or_else(|| {
            self.0.push(StreamedItem { index, id: id.unwrap_or_default().to_owned(), ..StreamedItem::default() });
            self.0.len() - 1
        });
        let item = self.0.get_mut(known).filter(|_| known < MAX_ITEMS).ok_or("its output has too many items")?;
        item.index = item.index.or(index);
        Ok(item)
    }

    /// The output in its order.
    pub(super) fn output(&self, calls: &[ToolCall]) -> Vec<Box<RawValue>> {
        let mut items: Vec<_> = self.0.iter().collect();
        items.sort_by_key(|item| item.index.unwrap_or(u64::MAX));
        items.into_iter().map(|item| item.value(calls)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(StreamedItem::len).sum()
    }
}
