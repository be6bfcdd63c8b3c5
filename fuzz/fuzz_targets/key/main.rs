//! Two requests have one key if and only if they are one question, by a model that shares no code with the library.
//!
//! An input that begins as a JSON object does is a body as it came. Any other is read as choices: two questions, each
//! spelled in one of the many ways that JSON has.

#![no_main]

mod model;
mod spell;

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use thryd::cache::{Key, KeyBuilder, canonical_json};
use thryd::kinds::Body;

use model::{Choices, Json, Object};

/// Fields of a body that are not in the key, as docs/cache.md lists them.
const LEFT_OUT: [&str; 11] = [
    "model",
    "stream",
    "stream_options",
    "encoding_format",
    "user",
    "safety_identifier",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "timeout",
];

fuzz_target!(|data: &[u8]| {
    if data.trim_ascii_start().starts_with(b"{") {
        a_body_means_what_its_canonical_form_means(&String::from_utf8_lossy(data));
    } else {
        keys_are_equal_as_questions_are(&mut Choices::new(data));
    }
});

fn a_body_means_what_its_canonical_form_means(text: &str) {
    let once = canonical_json(text);
    let Ok(body) = Body::parse(text) else { return };
    let once = String::from_utf8(once).expect("JSON text makes JSON text");
    assert_eq!(canonical_json(&once), once.as_bytes(), "the canonical form of {text:?} is not its own");
    let again = Body::parse(&once).expect("a canonical object is an object");
    let keys = KeyBuilder::new("", "completion", ["a::b"].into_iter());
    assert_eq!(keys.body(&body), keys.body(&again), "{text:?} and {once:?}");
}

/// All that a key is made of.
#[derive(Clone)]
struct Question {
    namespace: String,
    kind: &'static str,
    models: Vec<String>,
    body: Object,
}

impl Question {
    fn choose(choices: &mut Choices<'_>) -> Self {
        Self {
            namespace: short_text(choices),
            kind: choices.of(&["completion", "embedding", "rerank"]),
            models: (0..choices.below(4)).map(|_| short_text(choices)).collect(),
            body: choices.body(&LEFT_OUT),
        }
    }

    /// Changes one thing, or nothing that matters.
    fn change(&mut self, choices: &mut Choices<'_>) {
        match choices.below(8) {
            0 => self.namespace = short_text(choices),
            1 => self.kind = choices.of(&["completion", "embedding", "rerank"]),
            2 => self.models.push(short_text(choices)),
            3 => drop(self.models.pop()),
            4 => self.models.reverse(),
            _ => choices.change_object(&mut self.body, true),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        let models = |question: &Self| question.models.iter().cloned().collect::<BTreeSet<_>>();
        self.namespace == other.namespace
            && self.kind == other.kind
            && models(self) == models(other)
            && significant(&self.body) == significant(&other.body)
    }

    fn key(&self, choices: &mut Choices<'_>) -> (Key, String) {
        let text = spell::object(&self.body, choices);
        let body = Body::parse(&text).unwrap_or_else(|error| panic!("the model writes JSON: {error} in {text:?}"));
        let models = self.models.iter().map(String::as_str);
        (KeyBuilder::new(&self.namespace, self.kind, models).body(&body), text)
    }
}

/// The fields that decide the answer.
fn significant(body: &Object) -> Object {
    let left_out = LEFT_OUT.map(|name| name.encode_utf16().collect::<Vec<_>>());
    let mut body = body.clone();
    body.retain(|name, value| *value != Json::Null && !left_out.contains(name));
    body
}

fn short_text(choices: &mut Choices<'_>) -> String {
    choices.of(&["", "a", "b", "ab", "a::b", "b::a", "completion", "\u{0}", "é"]).to_owned()
}

fn keys_are_equal_as_questions_are(choices: &mut Choices<'_>) {
    let one = Question::choose(choices);
    let mut other = one.clone();
    match choices.below(8) {
        0 => other = Question::choose(choices),
        1 | 2 => {}
        3 => (0..4).for_each(|_| other.change(choices)),
        // Mostly one change alone: beside another one, nobody would see that it was missed.
        _ => other.change(choices),
    }
    let ((one_key, one_text), (other_key, other_text)) = (one.key(choices), other.key(choices));
    let is_same = one.is_same(&other);
    assert_eq!(one_key == other_key, is_same, "same question: {is_same}\n{one_text:?}\n{other_text:?}");
}
