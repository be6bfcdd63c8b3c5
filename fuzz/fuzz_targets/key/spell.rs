//! One of the many JSON texts of a value: white space, order and repetition of names, escapes, forms of a number.

use crate::model::{Choices, Json, Number, Object, Text};

/// The text of an object.
pub fn object(object: &Object, choices: &mut Choices<'_>) -> String {
    let mut out = String::new();
    write_object(object, choices, &mut out);
    out
}

fn write_value(value: &Json, choices: &mut Choices<'_>, out: &mut String) {
    blank(choices, out);
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Json::Number(number) => write_number(number, choices, out),
        Json::Text(text) => write_text(text, choices, out),
        Json::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write_value(item, choices, out);
            }
            blank(choices, out);
            out.push(']');
        }
        Json::Object(object) => write_object(object, choices, out),
    }
    blank(choices, out);
}

fn write_object(object: &Object, choices: &mut Choices<'_>, out: &mut String) {
    let mut members: Vec<_> = object.iter().collect();
    for index in 0..members.len() {
        let other = choices.below(members.len());
        members.swap(index, other);
    }
    out.push('{');
    let mut is_first = true;
    // Of a name that stands twice the last one counts; the first one is anything.
    let is_twice = choices.below(4) == 3;
    let decoy = members.last().filter(|_| is_twice).map(|(name, _)| (*name, &Json::Bool(true)));
    for (name, value) in decoy.into_iter().chain(members) {
        out.push_str(if is_first { "" } else { "," });
        is_first = false;
        blank(choices, out);
        write_text(name, choices, out);
        blank(choices, out);
        out.push(':');
        write_value(value, choices, out);
    }
    blank(choices, out);
    out.push('}');
}

fn blank(choices: &mut Choices<'_>, out: &mut String) {
    out.push_str(choices.of(&["", "", " ", "\t", "\r\n"]));
}

fn write_text(text: &Text, choices: &mut Choices<'_>, out: &mut String) {
    out.push('"');
    for unit in char::decode_utf16(text.iter().copied()) {
        match unit {
            Ok(character) => write_character(character, choices, out),
            Err(lone) => write_escape(lone.unpaired_surrogate(), choices, out),
        }
    }
    out.push('"');
}

fn write_character(character: char, choices: &mut Choices<'_>, out: &mut String) {
    let short = match character {
        '"' => "\\\"",
        '\\' => "\\\\",
        '/' => "\\/",
        '\u{8}' => "\\b",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{c}' => "\\f",
        '\r' => "\\r",
        _ => "",
    };
    let may_stand = character >= ' ' && !matches!(character, '"' | '\\');
    match choices.below(3) {
        0 if may_stand => out.push(character),
        0 | 1 if !short.is_empty() => out.push_str(short),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write_escape(*unit, choices, out);
            }
        }
    }
}

fn write_escape(unit: u16, choices: &mut Choices<'_>, out: &mut String) {
    out.push_str(&if choices.flag() { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") });
}

fn write_number(number: &Number, choices: &mut Choices<'_>, out: &mut String) {
    let Number { is_negative, digits, exponent } = number;
    if digits.is_empty() {
        out.push_str(choices.of(&["0", "-0", "0.0", "-0.000", "0e5", "0E-7", "-0.0e+00", "0e999"]));
        return;
    }
    out.push_str(if *is_negative { "-" } else { "" });
    let zeros = "0".repeat(choices.below(4));
    let length = digits.len() as i64;
    let power = match choices.below(4) {
        // Long-hand, as far as that is short.
        0 if (0..30).contains(exponent) => {
            out.push_str(digits);
            out.push_str(&"0".repeat(usize::try_from(*exponent).expect("small")));
            0
        }
        0 if (-30..=0).contains(&(length + exponent)) => {
            out.push_str("0.");
            out.push_str(&"0".repeat(usize::try_from(-length - exponent).expect("small")));
            out.push_str(digits);
            0
        }
        1 => {
            out.push_str(digits);
            out.push_str(&zeros);
            exponent - zeros.len() as i64
        }
        2 => {
            out.push_str("0.");
            out.push_str(&zeros);
            out.push_str(digits);
            exponent + length + zeros.len() as i64
        }
        _ => {
            let (whole, fraction) = digits.split_at(1 + choices.below(digits.len()));
            out.push_str(whole);
            if !fraction.is_empty() || !zeros.is_empty() {
                out.push('.');
            }
            out.push_str(fraction);
            out.push_str(&zeros);
            exponent + fraction.len() as i64
        }
    };
    if power != 0 || choices.below(3) == 2 {
        out.push_str(choices.of(&["e", "E"]));
        out.push_str(if power < 0 { "-" } else { choices.of(&["", "+"]) });
        out.push_str(choices.of(&["", "0", "000"]));
        out.push_str(&power.unsigned_abs().to_string());
    }
}
