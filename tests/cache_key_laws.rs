//! Equality by value, as laws: one question has one key however it is spelled, and another question has another.

mod json;

use json::{Json, body, change, json, spell};
use proptest::prelude::*;
use thryd::cache::{Key, KeyBuilder, canonical_json};
use thryd::kinds::Body;

fn canonical(text: &str) -> String {
    String::from_utf8(canonical_json(text)).unwrap()
}

fn key(body: &str) -> Key {
    KeyBuilder::new("", "completion", ["openai::gpt-4o"].into_iter()).body(&Body::parse(body).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn one_question_has_one_key_however_it_is_spelled(value in json(), seed in any::<u64>()) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (one, other) = (body(&value, &mut rng), body(&value, &mut rng));
        prop_assert_eq!(key(&one), key(&other), "{}\n{}", one, other);
    }

    #[test]
    fn another_question_has_another_key(value in json(), seed in any::<u64>()) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut changed = value.clone();
        change(&mut changed, &mut rng);
        // A null field of the top level is absent, which is tested above.
        let wrap = |value| Json::List(vec![value]);
        let (one, other) = (body(&wrap(value), &mut rng), body(&wrap(changed), &mut rng));
        prop_assert_ne!(key(&one), key(&other), "{}\n{}", one, other);
    }

    #[test]
    fn a_canonical_text_is_its_own_canonical_form_and_means_the_same(value in json(), seed in any::<u64>()) {
        let mut text = String::new();
        spell(&value, &mut fastrand::Rng::with_seed(seed), &mut text);
        let once = canonical(&text);
        prop_assert_eq!(&canonical(&once), &once);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).map(numbers_as_doubles).ok();
        prop_assert_eq!(read(&once), read(&text));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}\":,0-9eE.+\\-nulltrefas\\\\ \u{1f600}]{0,40}") {
        let out = canonical_json(&text);
        prop_assert!(is_json(&text) || out == text.as_bytes(), "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn what_only_looks_like_a_number_stands_for_itself(text in " ?[\\-+]?[0-9]{0,3}[.]?[0-9]{0,3}([eE][\\-+]?[0-9]{0,4})? ?") {
        let out = canonical_json(&text);
        prop_assert!(is_json(&text) || out == text.as_bytes(), "{}", String::from_utf8_lossy(&out));
    }
}

/// By the grammar alone: a number too large for a double is JSON.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

fn numbers_as_doubles(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) => Value::from(number.as_f64().unwrap() + 0.0),
        Value::Array(items) => items.into_iter().map(numbers_as_doubles).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, numbers_as_doubles(value))).collect(),
        other => other,
    }
}
