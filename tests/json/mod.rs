//! A model of JSON: values, the many ways to spell one, and a change to one thing in it.
#![allow(dead_code, reason = "each test binary uses the part of it that it needs")]

use std::collections::BTreeMap;

use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Map(BTreeMap<String, Json>),
}

pub fn json() -> impl Strategy<Value = Json> {
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

pub fn blank(rng: &mut fastrand::Rng, out: &mut String) {
    for _ in 0..rng.usize(0..2) {
        out.push(*rng.choice(&[' ', '\t', '\n', '\r']).unwrap());
    }
}

/// Spells a value in one of its many ways.
pub fn spell(value: &Json, rng: &mut fastrand::Rng, out: &mut String) {
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

pub fn spell_text(text: &str, rng: &mut fastrand::Rng, out: &mut String) {
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
pub fn change(value: &mut Json, rng: &mut fastrand::Rng) {
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

pub fn body(value: &Json, rng: &mut fastrand::Rng) -> String {
    // Beside another field, so that the top level is shuffled too.
    let top = BTreeMap::from([("x".to_owned(), value.clone()), ("n".to_owned(), Json::Int(1))]);
    let mut out = String::new();
    spell(&Json::Map(top), rng, &mut out);
    out
}
