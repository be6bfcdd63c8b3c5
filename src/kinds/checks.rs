//! Checks of single fields of a wire body: each failure names field, expected and got.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Body;
use crate::constants::MAX_SAFE_INTEGER;
use crate::error::Invalid;
use crate::fields::describe;

/// Checks that a field, if it is there, is a number from `low` to `high`.
pub(super) fn number(body: &Body, name: &str, low: f64, high: f64) -> Result<(), Invalid> {
    let Some(raw) = body.get(name) else { return Ok(()) };
    match as_number(raw) {
        Some(number) if (low..=high).contains(&number) => Ok(()),
        found => Err(bad_number(name, format!("a number from {low} to {high}"), raw, found.is_some())),
    }
}

/// A field that, if it is there, is an integer of at least 1.
pub(super) fn positive(body: &Body, name: &str) -> Result<Option<u64>, Invalid> {
    let Some(raw) = body.get(name) else { return Ok(None) };
    let found = as_number(raw);
    match found.and_then(whole) {
        Some(number) if number >= 1 => Ok(Some(number)),
        _ => Err(bad_number(name, format!("an integer from 1 to {MAX_SAFE_INTEGER}"), raw, found.is_some())),
    }
}

/// Checks that a field, if it is there, is an integer, negative ones included.
pub(super) fn integer(body: &Body, name: &str) -> Result<(), Invalid> {
    let Some(raw) = body.get(name) else { return Ok(()) };
    match as_number(raw) {
        Some(number) if number.fract() == 0.0 => Ok(()),
        found => Err(bad_number(name, "an integer".to_owned(), raw, found.is_some())),
    }
}

/// The raw items of a field that, if it is there, is an array.
pub(super) fn array<'a>(body: &'a Body, name: &str, expected: &str) -> Result<Option<Vec<&'a RawValue>>, Invalid> {
    let Some(raw) = body.get(name) else { return Ok(None) };
    serde_json::from_str(raw).map(Some).map_err(|_| wrong(format!("request.{name}"), expected, raw))
}

/// A string that has to be there and not be empty.
pub(super) fn required_string(body: &Body, name: &str) -> Result<String, Invalid> {
    let Some(raw) = body.get(name) else { return Err(missing(name, "a string that is not empty")) };
    filled_string(raw, || format!("request.{name}"))
}

/// The strings of an array that has to be there, none of them empty unless `may_be_empty`.
pub(super) fn required_strings(body: &Body, name: &str, may_be_empty: bool) -> Result<Vec<String>, Invalid> {
    let expected = "an array of strings that is not empty";
    let items = array(body, name, expected)?.ok_or_else(|| missing(name, expected))?;
    if items.is_empty() {
        return Err(Invalid::type_error(format!("request.{name}"), expected, "an empty array"));
    }
    let read = |(place, item): (usize, &&RawValue)| {
        let field = || format!("request.{name}[{place}]");
        if may_be_empty { string(item.get(), field) } else { filled_string(item.get(), field) }
    };
    items.iter().enumerate().map(read).collect()
}

/// A JSON string.
pub(super) fn string(raw: &str, field: impl FnOnce() -> String) -> Result<String, Invalid> {
    serde_json::from_str(raw).map_err(|_| wrong(field(), "a string", raw))
}

/// A JSON string that is not empty.
pub(super) fn filled_string(raw: &str, field: impl FnOnce() -> String + Copy) -> Result<String, Invalid> {
    let text = string(raw, field)?;
    if text.is_empty() {
        return Err(Invalid::type_error(field(), "a string that is not empty", "\"\""));
    }
    Ok(text)
}

/// A field of the wrong type.
pub(super) fn wrong(field: String, expected: &str, raw: &str) -> Invalid {
    let got = Value::deserialize(&mut serde_json::Deserializer::from_str(raw));
    Invalid::type_error(
        field,
        expected,
        got.map_or_else(|_| "a value that cannot be read".to_owned(), |got| describe(&got)),
    )
}

/// Whether the text is a JSON object.
pub(super) fn is_object(raw: &str) -> bool {
    raw.starts_with('{')
}

fn missing(name: &str, expected: &str) -> Invalid {
    Invalid::type_error(format!("request.{name}"), expected, "nothing")
}

/// The number in a JSON text; infinite if it is larger than any.
fn as_number(raw: &str) -> Option<f64> {
    raw.parse().ok().filter(|_| raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()))
}

fn whole(number: f64) -> Option<u64> {
    #[allow(clippy::cast_precision_loss, reason = "2^53 - 1 is exact")]
    let fits = number.fract() == 0.0 && (0.0..=MAX_SAFE_INTEGER as f64).contains(&number);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    fits.then_some(number as u64)
}

/// Numbers that JSON cannot carry arrive from JavaScript as their own text, and are out of range, not of another type.
fn bad_number(name: &str, expected: String, raw: &str, is_number: bool) -> Invalid {
    let field = format!("request.{name}");
    let foreign = matches!(raw, "\"NaN\"" | "\"Infinity\"" | "\"-Infinity\"");
    let is_big = raw.trim_matches('"').strip_suffix('n').is_some_and(|digits| digits.parse::<i128>().is_ok());
    if is_number || foreign || is_big {
        return Invalid::range_error(field, expected, raw.trim_matches('"'));
    }
    wrong(field, &expected, raw)
}
