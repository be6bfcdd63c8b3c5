//! Fears about what is kept of a question: that it grows without bound, that it is another one each time, and that it does
//! not show what was changed.

mod json;

use json::{Json, body, json, spell};
use proptest::prelude::*;
use thryd::cache::{Difference, MAX_SKETCH_BYTES, Question, Side};
use thryd::kinds::Body;

fn question(body: &str) -> Question {
    Question::new("completion", ["openai::gpt-4o"].into_iter(), &Body::parse(body).unwrap())
}

fn sketch(body: &str) -> String {
    String::from_utf8(question(body).sketch().to_vec()).unwrap()
}

/// What is said when one is stored and the other is asked.
fn told(stored: &str, asked: &str) -> Vec<String> {
    question(asked).differences(&sketch(stored)).iter().map(Difference::to_string).collect()
}

// ---------------------------------------------------------------------------------------------------- golden sketches

#[test]
fn a_short_question_is_kept_as_it_is() {
    let body = r#"{"temperature":0.70,"messages":[{"role":"user","content":"Hi"}],"stream":true,"seed":null}"#;
    let expected = r#"{"kind":"completion","models":["openai::gpt-4o"],"request":{"messages":[{"content":"Hi","role":"user"}],"temperature":0.7}}"#;
    assert_eq!(sketch(body), expected);
}

#[test]
fn of_a_long_text_its_beginning_its_length_and_its_hash_are_kept() {
    let text = "What is the meaning of life, ".repeat(50);
    let sketch = sketch(&format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#));
    let shown = r#""content":"What is the meaning of life, What is the…1450:"#;
    assert!(sketch.contains(shown) && sketch.len() < 200, "{sketch}");
}

#[test]
fn a_conversation_that_is_too_long_keeps_its_small_fields() {
    let message = format!(r#"{{"role":"user","content":"{}"}}"#, "word ".repeat(100));
    let few = sketch(&format!(r#"{{"messages":[{}],"temperature":0.7}}"#, [message.as_str(); 8].join(",")));
    assert!(few.matches(r#""role":"user""#).count() == 8 && few.contains(r#""temperature":0.7"#), "{few}");
    let many = sketch(&format!(r#"{{"messages":[{}],"temperature":0.7}}"#, vec![message; 200].join(",")));
    assert!(many.contains(r#""messages":["…200:"#) && many.contains(r#""temperature":0.7"#), "{many}");
}

// ----------------------------------------------------------------------------------------------------- what is told

#[test]
fn the_message_names_each_field_that_is_not_as_it_was() {
    let long = |word: &str| word.repeat(200);
    let stored = format!(
        r#"{{"temperature":0.7,"messages":[{{"role":"system","content":"s"}},{{"role":"user","content":"{}"}}],"n":1}}"#,
        long("What is ")
    );
    let asked = format!(
        r#"{{"temperature":0.8,"messages":[{{"role":"system","content":"s"}},{{"role":"user","content":"{}"}}],"seed":7}}"#,
        long("Who is ")
    );
    assert_eq!(
        told(&stored, &asked),
        [
            r#"messages[1].content: "What is What is What is What i…" (1,600 bytes) is stored, "Who is Who is Who is Who is Wh…" (1,400 bytes) was asked"#,
            "seed: stored without it, 7 was asked",
            "temperature: 0.7 is stored, 0.8 was asked",
            "n: 1 is stored, asked without it",
        ]
    );
}

#[test]
fn another_group_or_another_kind_is_said_to_be_one() {
    let body = Body::parse(r#"{"input":["a"]}"#).unwrap();
    let of = |kind, models: &[&str]| Question::new(kind, models.iter().copied(), &body);
    let stored = String::from_utf8(of("completion", &["openai::gpt-4o"]).sketch().to_vec()).unwrap();
    let told = |asked: &Question| asked.differences(&stored).iter().map(Difference::to_string).collect::<Vec<_>>();
    assert_eq!(
        told(&of("embedding", &["gpt-4o", "azure::gpt-4o"])),
        [
            r#"the kind: "completion" is stored, "embedding" was asked"#,
            r#"the group's models: ["openai::gpt-4o"] is stored, ["azure::gpt-4o","gpt-4o"] was asked"#,
        ]
    );
}

#[test]
fn a_field_with_an_unusual_name_is_still_told_apart() {
    let told = told(r#"{"x":{"a b":1,"a":{"b":1},"":3}}"#, r#"{"x":{"a b":2,"a":{"b":1},"":4}}"#);
    assert_eq!(told, [r#"x[""]: 3 is stored, 4 was asked"#, r#"x["a b"]: 1 is stored, 2 was asked"#]);
}

#[test]
fn an_abbreviation_cannot_be_forged() {
    let text = "long ".repeat(100);
    let stored = sketch(&format!(r#"{{"x":"{text}"}}"#));
    let forged = stored.split("\"x\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(told(&format!(r#"{{"x":"{text}"}}"#), &format!(r#"{{"x":"{forged}"}}"#)).len(), 1);
    assert_eq!(told(&format!(r#"{{"x":"{forged}"}}"#), &format!(r#"{{"x":"{text}"}}"#)).len(), 1);
    for pair in [
        [r#"{"x":["…1:10:00000000"]}"#, r#"{"x":["…1:10:00000001"]}"#],
        [r#"{"x":{"…":"1:10:00000000"}}"#, r#"{"x":{"…":"1:10:00000001"}}"#],
    ] {
        assert_eq!((told(pair[0], pair[1]).len(), told(pair[0], pair[0]).len()), (1, 0), "{pair:?}");
    }
}

// -------------------------------------------------------------------------------------------------------------- laws

/// A value whose texts and lists are sometimes long.
fn long_json() -> impl Strategy<Value = Json> {
    json().prop_recursive(2, 40, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Json::List),
            "[a-z\"\\\\…:0-9é]{0,300}".prop_map(Json::Text),
            inner,
        ]
    })
}

/// Every leaf, as its path is told.
fn leaves(value: &Json, path: &str, found: &mut Vec<String>) {
    match value {
        Json::List(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(index, item)| leaves(item, &format!("{path}[{index}]"), found));
        }
        _ => found.push(path.to_owned()),
    }
}

/// Puts another leaf in the place of the one of this number.
fn replace(value: &mut Json, number: &mut usize, leaf: &Json) -> bool {
    match value {
        Json::List(items) if !items.is_empty() => items.iter_mut().any(|item| replace(item, number, leaf)),
        other if *number == 0 => {
            *other = leaf.clone();
            true
        }
        _ => {
            *number -= 1;
            false
        }
    }
}

fn text_of(value: &Json, rng: &mut fastrand::Rng) -> String {
    let mut text = String::new();
    spell(value, rng, &mut text);
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_sketch_is_short_valid_and_the_same_for_equal_questions(value in long_json(), seed in any::<u64>()) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (one, other) = (body(&value, &mut rng), body(&value, &mut rng));
        let kept = sketch(&one);
        prop_assert!(kept.len() <= MAX_SKETCH_BYTES, "{} bytes", kept.len());
        prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&kept).is_ok(), "{}", kept);
        prop_assert_eq!(&kept, &sketch(&other));
        prop_assert_eq!(question(&other).differences(&kept), []);
    }

    #[test]
    fn a_change_of_one_leaf_shows_as_that_leaf_or_as_what_it_is_abbreviated_in(
        value in long_json(), place in any::<prop::sample::Index>(), number in 0..1000_i64, seed in any::<u64>(),
    ) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut paths = Vec::new();
        leaves(&value, "x", &mut paths);
        let mut number_of = place.index(paths.len());
        let path = paths[number_of].clone();
        let mut changed = value.clone();
        // A leaf of a form that is nowhere else.
        replace(&mut changed, &mut number_of, &Json::Text(format!("another {number}")));
        let wrap = |value: &Json, rng: &mut fastrand::Rng| format!(r#"{{"x":{}}}"#, text_of(value, rng));
        let (stored, asked) = (wrap(&value, &mut rng), wrap(&changed, &mut rng));
        let found = question(&asked).differences(&sketch(&stored));
        prop_assert_eq!(found.len(), if value == changed { 0 } else { 1 }, "{:?}", found);
        for difference in found {
            prop_assert!(path.starts_with(&difference.path), "{} is not in {}", path, difference.path);
            let is_abbreviated = sketch(&stored).contains('…');
            prop_assert!(is_abbreviated || difference.path == path, "{} is told for {}", difference.path, path);
            let is_shown = difference.asked == Side::Value(format!("\"another {number}\""));
            prop_assert!(is_shown == (difference.path == path), "{:?}", difference);
        }
    }

    #[test]
    fn no_sketch_makes_it_panic(
        garbage in "[\\[\\]{}\":,…0-9a-f. ]{0,60}", value in json(), seed in any::<u64>(),
    ) {
        let asked = question(&body(&value, &mut fastrand::Rng::with_seed(seed)));
        let _whatever = asked.differences(&garbage);
        let _whatever = asked.differences(&format!(r#"{{"kind":"completion","models":[],"request":{{"x":{garbage}}}}}"#));
    }
}
