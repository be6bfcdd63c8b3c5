//! How providers write what is in their envelopes: identifiers, escapes, indentation.

use fastrand::Rng;

/// A text as it stands between the quotes of a JSON string.
pub fn escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("a text");
    quoted[1..quoted.len() - 1].to_owned()
}

/// So many letters and digits.
pub fn random(rng: &mut Rng, length: usize) -> String {
    (0..length).map(|_| rng.alphanumeric()).collect()
}

/// So many hexadecimal digits.
pub fn hexadecimal(rng: &mut Rng, length: usize) -> String {
    (0..length).map(|_| rng.digit(16)).collect()
}

/// Five groups of hexadecimal digits, as a UUID has them.
pub fn uuid(rng: &mut Rng) -> String {
    let parts = [8, 4, 4, 4, 12].map(|length| hexadecimal(rng, length));
    parts.join("-")
}

/// As OpenAI sends it: indented by two spaces, the order of the names kept.
pub fn indented(compact: &str) -> String {
    let (mut out, mut depth, mut is_text, mut is_escaped) = (String::new(), 0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    for (at, character) in compact.char_indices() {
        if is_text {
            out.push(character);
            is_text = is_escaped || character != '"';
            is_escaped = character == '\\' && !is_escaped;
            continue;
        }
        match character {
            '{' | '[' if !compact[at + 1..].starts_with(['}', ']']) => {
                out.push(character);
                depth += 1;
                line(&mut out, depth);
            }
            '}' | ']' if !out.ends_with(['{', '[']) => {
                depth -= 1;
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                is_text = character == '"';
                out.push(character);
            }
        }
    }
    out
}
