//! What a request of the Responses API goes on from: what a provider keeps, or has sealed, of earlier answers.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::text_or_id;
use crate::kinds::Body;

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    role: Option<&'a RawValue>,
}

impl Item<'_> {
    /// Whether it stands for an item that its provider keeps, or has sealed what nobody else can open.
    fn is_of_one_provider(&self) -> bool {
        match self.kind.as_deref() {
            Some(kind) => matches!(kind, "item_reference" | "reasoning" | "compaction"),
            None => self.role.is_none(),
        }
    }
}

/// The ids of what a request goes on from: an answer, a conversation, items of earlier answers.
pub(super) fn ids_before(body: &Body) -> Vec<String> {
    let given = |name| body.get(name).and_then(text_or_id);
    let input = body.get("input").filter(|raw| raw.starts_with('[')).unwrap_or("[]");
    let items = items(input).into_iter().filter(Item::is_of_one_provider).filter_map(|item| item.id);
    let items = items.map(Cow::into_owned).filter(|id| !id.is_empty());
    given("previous_response_id").into_iter().chain(given("conversation")).chain(items).collect()
}

/// The items that can be read.
fn items(raw: &str) -> Vec<Item<'_>> {
    let items: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
    items.into_iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_its_provider_can_go_on_from_is_found() {
        let ids = |body: &str| ids_before(&Body::parse(body).unwrap());
        let input = r#"[{"type":"item_reference","id":"msg_1"},{"id":"msg_2"},{"type":"reasoning","id":"rs_1","encrypted_content":"x"},
            {"role":"user","content":"a"},{"type":"message","id":"msg_3","role":"assistant","content":[]},{"type":"function_call","id":"fc_1"},
            {"type":"item_reference","id":7},{"type":"reasoning","summary":[]},5]"#;
        assert_eq!(ids(&format!(r#"{{"input":{input}}}"#)), ["msg_1", "msg_2", "rs_1"]);
        let all = ids(r#"{"previous_response_id":"resp_1","conversation":{"id":"conv_1"},"input":"a"}"#);
        assert_eq!(all, ["resp_1", "conv_1"]);
    }
}
