//! Fears about the key: that two questions share one, or that one question has two.

use std::collections::BTreeMap;

use proptest::prelude::*;
use thryd::cache::{Key, KeyBuilder, canonical_json};
use thryd::kinds::Body;

fn canonical(text: &str) -> String {
    String::from_utf8(canonical_json(text)).unwrap()
}

fn key(body: &str) -> Key {
    KeyBuilder::new("", "completion", ["openai::gpt-4o"].into_iter()).body(&Body::parse(body).unwrap())
}

// ------------------------------------------------------------------------------------------------ golden vectors

#[test]
fn the_rfc_s_own_example_comes_out_as_the_rfc_says() {
    let text = r#"{ "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false] }"#;
    let expected = r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#;
    assert_eq!(canonical(text), expected);
}

#[test]
fn names_are_sorted_by_utf_16_code_units() {
    let text = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7,"":8,"11":9}"#;
    let expected =
        "{\"\":8,\"\\r\":2,\"1\":4,\"11\":9,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
    assert_eq!(canonical(text), expected);
}

/// RFC 8785, appendix B.
const NUMBERS: &[(u64, &str)] = &[
    (0x0000_0000_0000_0000, "0"),
    (0x8000_0000_0000_0000, "0"),
    (0x0000_0000_0000_0001, "5e-324"),
    (0x8000_0000_0000_0001, "-5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
    (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
    (0x4340_0000_0000_0000, "9007199254740992"),
    (0xc340_0000_0000_0000, "-9007199254740992"),
    (0x4430_0000_0000_0000, "295147905179352830000"),
    (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
    (0x44b5_2d02_c7e1_4af6, "1e+23"),
    (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
    (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
    (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21"),
    (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
    (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
    (0x41b3_de43_5555_5553, "333333333.3333332"),
    (0x41b3_de43_5555_5554, "333333333.33333325"),
    (0x41b3_de43_5555_5555, "333333333.3333333"),
    (0x41b3_de43_5555_5556, "333333333.3333334"),
    (0x41b3_de43_5555_5557, "333333333.33333343"),
    (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
    (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
];

#[test]
fn numbers_are_written_as_ecmascript_writes_them() {
    for (bits, expected) in NUMBERS {
        let number = f64::from_bits(*bits);
        for spelling in [format!("{number:e}"), format!("{number}"), format!("{number:E}"), format!("{number:?}")] {
            assert_eq!(canonical(&spelling), *expected, "{spelling}");
        }
    }
}

#[test]
fn big_integers_are_not_taken_for_their_neighbours() {
    for (text, expected) in [
        ("9007199254740991", "9007199254740991"),
        ("9007199254740993", "9007199254740993"),
        ("-9007199254740993", "-9007199254740993"),
        ("900719925474099300e-2", "9007199254740993"),
        ("18446744073709551617", "18446744073709551617"),
        ("123456789012345678901", "123456789012345678901"),
        ("1234567890123456789012", "1.234567890123456789012e+21"),
        ("1000000000000000000000", "1e+21"),
        ("1e400", "1e+400"),
        ("1e-400", "0"),
        ("-0.0e5", "0"),
        ("1e99999999999999999999", "1e99999999999999999999"),
        ("-0", "0"),
        ("1E-9223372036854775808", "1E-9223372036854775808"),
    ] {
        assert_eq!(canonical(text), expected, "{text}");
    }
}

#[test]
fn a_lone_surrogate_stays_what_it_is() {
    assert_eq!(
        canonical(r#"["\uD800","\udFfF","\uD83D\uDE00","\ud800\ud83d\ude00","\\ud800"]"#),
        "[\"\\ud800\",\"\\udfff\",\"😀\",\"\\ud800😀\",\"\\\\ud800\"]"
    );
}

#[test]
fn of_a_name_that_stands_twice_the_last_counts() {
    assert_eq!(canonical(r#"{"b":1,"a":1,"\u0061":2,"a":3}"#), r#"{"a":3,"b":1}"#);
}

#[test]
fn nesting_without_end_blows_no_stack_and_mixes_nothing_up() {
    let deep = |core: &str| format!("{{\"x\":{}{core}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(key(&deep("1")), key(&deep("1")));
    assert_ne!(key(&deep("1")), key(&deep("2")));
    let shallow = |core: &str| format!("{{\"x\":{}{core}{}}}", "[".repeat(126), "]".repeat(126));
    assert_eq!(key(&shallow("{\"b\":1,\"a\":1.0}")), key(&shallow("{\"a\":1,\"b\":1}")));
}

#[test]
fn what_is_not_json_stands_for_itself() {
    for text in [
        "",
        "{",
        "[1,",
        "nul",
        "1 2",
        "\"a",
        "{\"a\" 1}",
        "[}",
        "\"\\x\"",
        "\"\\u12\"",
        "-",
        "1e",
        "\u{feff}1",
        "]",
        "}",
    ] {
        assert_eq!(canonical(text), text);
    }
}

#[test]
fn a_key_is_the_hash_of_the_documented_bytes() {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let bytes = [
        vec![1],
        text("tenant"),
        text("completion"),
        2_u64.to_le_bytes().to_vec(),
        text("a::x"),
        text("b::y"),
        text(r#"{"messages":[{"content":"Hi","role":"user"}],"temperature":1}"#),
    ]
    .concat();
    let body =
        r#"{"temperature":1.0,"stream":true,"seed":null,"messages":[{"role":"user","content":"Hi"}],"user":"me"}"#;
    let models = ["b::y", "a::x", "b::y"];
    let key = KeyBuilder::new("tenant", "completion", models.into_iter()).body(&Body::parse(body).unwrap());
    assert_eq!(key.0, *blake3::hash(&bytes).as_bytes());
    assert_eq!(
        blake3::Hash::from(key.0).to_hex().as_str(),
        "5a9ef05c5d5d27313b126a2230886079ce1eb64e25d35cf04b1529be486a29d9"
    );
}

#[test]
fn keys_of_released_versions_do_not_move() {
    let golden = [
        (r#"{}"#, "4910d33b901cdb2fd079f809d1cbd326f543d3408cafcb77dbe01928cad78605"),
        (
            r#"{"messages":[{"role":"user","content":"Explain async."}],"temperature":0.7,"max_completion_tokens":200}"#,
            "92b38a57b4259ad7006e889dfb8507336c799a13997631a4a117124e9cfbc649",
        ),
        (r#"{"input":"żółw 🐢","dimensions":256}"#, "fb2ac628827d210df44d3c728c7598ba75d43c6d9c20c391a51191d8a8463afb"),
    ];
    for (body, expected) in golden {
        assert_eq!(blake3::Hash::from(key(body).0).to_hex().as_str(), expected, "{body}");
    }
}

// ---------------------------------------------------------------------------------------------- what is in the key

#[test]
fn what_does_not_decide_the_answer_is_left_out() {
    let plain = key(r#"{"messages":[],"x":1}"#);
    for field in [
        "encoding_format",
        "metadata",
        "model",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "stream",
        "stream_options",
        "timeout",
        "user",
    ] {
        assert_eq!(key(&format!(r#"{{"messages":[],"{field}":"anything","x":1}}"#)), plain, "{field}");
        assert_ne!(
            key(&format!(r#"{{"messages":[],"x":1,"y":{{"{field}":1}}}}"#)),
            key(r#"{"messages":[],"x":1,"y":{}}"#),
            "{field}"
        );
    }
}

#[test]
fn a_field_that_nobody_knows_is_part_of_the_question() {
    assert_ne!(key(r#"{"x_new":1}"#), key(r#"{"x_new":2}"#));
    assert_ne!(key(r#"{"x_new":1}"#), key("{}"));
}

#[test]
fn null_is_absent_at_the_top_and_a_value_below() {
    assert_eq!(key(r#"{"seed":null,"n": null }"#), key("{}"));
    assert_ne!(key(r#"{"messages":[{"content":null}]}"#), key(r#"{"messages":[{}]}"#));
}

#[test]
fn no_two_lists_of_texts_run_together() {
    let body = Body::parse("{}").unwrap();
    let lists: &[(&str, &str, &[&str])] = &[
        ("", "ab", &["c"]),
        ("a", "b", &["c"]),
        ("ab", "", &["c"]),
        ("", "a", &["b", "c"]),
        ("", "a", &["bc"]),
        ("", "a", &["b", "", "c"]),
        ("", "a", &["c"]),
        ("", "a", &[]),
        ("a", "", &[]),
        ("", "", &["a"]),
        ("", "a", &["b::c{}"]),
    ];
    let keys: std::collections::HashSet<_> = lists
        .iter()
        .map(|(space, kind, models)| KeyBuilder::new(space, kind, models.iter().copied()).body(&body))
        .collect();
    assert_eq!(keys.len(), lists.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_and_the_number_of_times_a_model_is_named_do_not_matter(
        models in prop::collection::vec("[ab]{0,2}", 0..6), other in prop::collection::vec("[ab]{0,2}", 0..6),
    ) {
        let body = Body::parse("{}").unwrap();
        let set = |models: &[String]| models.iter().cloned().collect::<std::collections::BTreeSet<_>>();
        let key = |models: &[String]| KeyBuilder::new("", "", models.iter().map(String::as_str)).body(&body);
        prop_assert_eq!(key(&models) == key(&other), set(&models) == set(&other));
    }
}

// ------------------------------------------------------------------------------------- equality by value, as a law

#[derive(Clone, Debug, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Map(BTreeMap<String, Json>),
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::Int),
        (-100_i64..100).prop_map(Json::Int),
        any::<f64>().prop_filter("JSON has no other", |number| number.is_finite()).prop_map(Json::Float),
        (-1e6..1e6).prop_map(Json::Float),
        any::<String>().prop_map(Json::Text),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::List),
            prop::collection::btree_map("[a-c\u{e9}\u{ffee}\u{1f600}]{0,2}", inner, 0..4).prop_map(Json::Map),
        ]
    })
}

fn blank(rng: &mut fastrand::Rng, out: &mut String) {
    for _ in 0..rng.usize(0..2) {
        out.push(*rng.choice(&[' ', '\t', '\n', '\r']).unwrap());
    }
}

/// Spells a value in one of its many ways.
fn spell(value: &Json, rng: &mut fastrand::Rng, out: &mut String) {
    blank(rng, out);
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Json::Int(number) => out.push_str(&match rng.u8(0..5) {
            0 => format!("{number}.000"),
            1 => format!("{number}e0"),
            2 if *number != 0 => format!("{number}00E-2"),
            3 => format!("{number}.0e+00"),
            _ => number.to_string(),
        }),
        Json::Float(number) => out.push_str(&match rng.u8(0..3) {
            0 => format!("{number:e}"),
            1 => format!("{number}"),
            _ => format!("{number:E}")
                .replace('E', if number.fract() == 0.0 && number.abs() < 10.0 { ".00E+" } else { "E" }),
        }),
        Json::Text(text) => spell_text(text, rng, out),
        Json::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                spell(item, rng, out);
            }
            out.push(']');
        }
        Json::Map(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            rng.shuffle(&mut fields);
            out.push('{');
            for (index, (name, value)) in fields.into_iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                blank(rng, out);
                spell_text(name, rng, out);
                blank(rng, out);
                out.push(':');
                spell(value, rng, out);
            }
            out.push('}');
        }
    }
    blank(rng, out);
}

fn spell_text(text: &str, rng: &mut fastrand::Rng, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        let is_plain = character >= ' ' && !matches!(character, '"' | '\\');
        if is_plain && rng.u8(0..4) > 0 {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            out.push_str(&if rng.bool() { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") });
        }
    }
    out.push('"');
}

/// Changes one thing, somewhere.
fn change(value: &mut Json, rng: &mut fastrand::Rng) {
    match value {
        Json::Null => *value = Json::Bool(false),
        Json::Bool(flag) => *flag = !*flag,
        Json::Int(number) => *number = number.wrapping_add(1),
        Json::Float(number) => *number = if *number == 0.0 { 1e-9 } else { f64::from_bits(number.to_bits() ^ 1) },
        Json::Text(text) if rng.bool() => text.insert(0, 'x'),
        Json::Text(text) => text.push('\u{0}'),
        Json::List(items) => match rng.u8(0..3) {
            0 if !items.is_empty() => drop(items.pop()),
            1 if !items.is_empty() => change(rng.choice(items).unwrap(), rng),
            _ => items.push(Json::Null),
        },
        Json::Map(fields) => match rng.u8(0..3) {
            0 if !fields.is_empty() => drop(fields.pop_first()),
            1 if !fields.is_empty() => change(rng.choice(fields.values_mut()).unwrap(), rng),
            _ => drop(fields.insert("another".to_owned(), Json::Null)),
        },
    }
}

fn body(value: &Json, rng: &mut fastrand::Rng) -> String {
    // Beside another field, so that the top level is shuffled too.
    let top = BTreeMap::from([("x".to_owned(), value.clone()), ("n".to_owned(), Json::Int(1))]);
    let mut out = String::new();
    spell(&Json::Map(top), rng, &mut out);
    out
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
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok() || out == text.as_bytes());
    }
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
