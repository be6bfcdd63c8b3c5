//! Reads thryd's own options out of JSON: each field by name, type and range, and nothing that was not asked for.
//!
//! The one place where a bad option becomes an [`Invalid`]. `null` is absent. Numbers that JSON cannot carry (`NaN`,
//! infinities, big integers) arrive as their own text and are named as such.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::constants::MAX_SAFE_INTEGER;
use crate::error::Invalid;

/// The fields of one options object that have not been read yet.
#[derive(Debug)]
pub struct Fields {
    path: &'static str,
    map: Map<String, Value>,
}

impl Fields {
    /// Takes the options object that messages call `path`, e.g. `deploy options`.
    ///
    /// # Errors
    /// If it is neither an object nor null.
    pub fn new(path: &'static str, value: Value) -> Result<Self, Invalid> {
        match value {
            Value::Object(mut map) => {
                map.retain(|_, value| !value.is_null());
                Ok(Self { path, map })
            }
            Value::Null => Ok(Self { path, map: Map::new() }),
            other => Err(Invalid::type_error(path, "an object", describe(&other))),
        }
    }

    /// Parses JSON text and takes the object in it.
    ///
    /// # Errors
    /// If it is not JSON, or not an object.
    pub fn parse(path: &'static str, text: &str) -> Result<Self, Invalid> {
        let value = serde_json::from_str(text).map_err(|error| Invalid::type_error(path, "JSON", error))?;
        Self::new(path, value)
    }

    /// What messages call a field.
    #[must_use]
    pub fn path_of(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    /// The field as it came.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name)
    }

    /// A string, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn string(&mut self, name: &str) -> Result<Option<String>, Invalid> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "a string", &other)),
        }
    }

    /// A string that has to be there and not be empty.
    ///
    /// # Errors
    /// If it is absent, empty or something else.
    pub fn required_string(&mut self, name: &str) -> Result<String, Invalid> {
        match self.string(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            Some(_) => Err(self.type_error(name, "a string that is not empty", "\"\"")),
            None => Err(self.type_error(name, "a string", "nothing")),
        }
    }

    /// A boolean, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, Invalid> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.wrong(name, "true or false", &other)),
        }
    }

    /// An integer from `low` to 2^53 - 1, if it is there.
    ///
    /// # Errors
    /// A range error for another number, a type error for anything else.
    pub fn integer(&mut self, name: &str, low: u64) -> Result<Option<u64>, Invalid> {
        let expected = || format!("an integer from {low} to {MAX_SAFE_INTEGER}");
        let Some(value) = self.take(name) else { return Ok(None) };
        let whole = value.as_u64().or_else(|| whole(&value));
        match whole {
            Some(number) if (low..=MAX_SAFE_INTEGER).contains(&number) => Ok(Some(number)),
            _ => Err(self.bad_number(name, expected(), &value)),
        }
    }

    /// A finite number from `low` to `high`, if it is there.
    ///
    /// # Errors
    /// A range error for another number, a type error for anything else.
    pub fn number(&mut self, name: &str, low: f64, high: f64) -> Result<Option<f64>, Invalid> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if (low..=high).contains(&number) => Ok(Some(number)),
            Some(number) if number > high => {
                Err(self.bad_number(name, format!("a number from {low} to {high}"), &value))
            }
            _ => Err(self.bad_number(name, range(low, high), &value)),
        }
    }

    /// A duration in milliseconds, zero and fractions included, if it is there.
    ///
    /// # Errors
    /// A range error for another number, a type error for anything else.
    pub fn duration_ms(&mut self, name: &str) -> Result<Option<Duration>, Invalid> {
        #[allow(clippy::cast_precision_loss, reason = "2^53 - 1 is exact")]
        let milliseconds = self.number(name, 0.0, MAX_SAFE_INTEGER as f64)?;
        Ok(milliseconds.map(|number| Duration::from_secs_f64(number / 1000.0)))
    }

    /// One of these words, if it is there.
    ///
    /// # Errors
    /// If it is another word or something else.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Invalid> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if let Some((_, meaning)) = found {
            return Ok(Some(*meaning));
        }
        let known: Vec<_> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
        Err(self.wrong(name, &format!("one of {}", known.join(", ")), &value))
    }

    /// A list of strings, if it is there.
    ///
    /// # Errors
    /// If it is something else.
    pub fn strings(&mut self, name: &str) -> Result<Option<Vec<String>>, Invalid> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let texts = value
            .as_array()
            .and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>());
        texts.map(Some).ok_or_else(|| self.wrong(name, "an array of strings", &value))
    }

    /// Nested options under `name`, read by `read`; messages call them `path`.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn nested<T>(
        &mut self,
        name: &str,
        path: &'static str,
        read: impl FnOnce(Fields) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Invalid> {
        self.take(name).map(|value| Fields::new(path, value).and_then(read)).transpose()
    }

    /// Refuses what has not been read, by name.
    ///
    /// # Errors
    /// If a field is left.
    pub fn finish(self, known: &str) -> Result<(), Invalid> {
        match self.map.keys().next() {
            None => Ok(()),
            // The value stays out of the message: a mistyped `apikey` holds a key.
            Some(name) => Err(self.type_error(name, format!("one of the options {known}"), "an unknown name")),
        }
    }

    /// A type error of the field `name`.
    pub fn type_error(&self, name: &str, expected: impl Into<String>, got: impl std::fmt::Display) -> Invalid {
        Invalid::type_error(format!("{}.{name}", self.path), expected, got)
    }

    fn wrong(&self, name: &str, expected: &str, got: &Value) -> Invalid {
        self.type_error(name, expected, describe(got))
    }

    fn bad_number(&self, name: &str, expected: String, got: &Value) -> Invalid {
        let is_number = got.is_number() || got.as_str().is_some_and(is_foreign_number);
        let got = if is_number { got.as_str().map_or_else(|| got.to_string(), str::to_owned) } else { describe(got) };
        Invalid { is_range: is_number, ..self.type_error(name, expected, got) }
    }
}

/// Numbers that JSON cannot carry and that arrive as text.
fn is_foreign_number(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity")
        || text.strip_suffix('n').is_some_and(|digits| digits.parse::<i128>().is_ok())
}

fn whole(value: &Value) -> Option<u64> {
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0)?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked; saturates, and is ranged after"
    )]
    Some(number as u64)
}

fn range(low: f64, high: f64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "2^53 - 1 is exact")]
    let unbounded = high >= MAX_SAFE_INTEGER as f64;
    if unbounded { format!("a number of at least {low}") } else { format!("a number from {low} to {high}") }
}

/// A value as messages show it: its type, and itself if it is short. Never the value of an object, which may hold keys.
#[must_use]
pub fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.chars().count() <= 40 => format!("{text:?}"),
        Value::String(text) => format!("a string of {} characters", text.chars().count()),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::new("deploy options", value).unwrap()
    }

    #[test]
    fn a_number_out_of_range_is_named_with_its_field_and_range() {
        for got in [
            json!(0),
            json!(-1),
            json!(1.5),
            json!(9_007_199_254_740_992_u64),
            json!("NaN"),
            json!("-Infinity"),
            json!("12n"),
        ] {
            let error = fields(json!({ "rpm": got })).integer("rpm", 1).unwrap_err();
            assert!(error.is_range, "{error}");
            assert!(
                error
                    .to_string()
                    .starts_with("deploy options.rpm: expected an integer from 1 to 9007199254740991, got ")
            );
        }
    }

    #[test]
    fn a_value_of_another_type_is_a_type_error() {
        let error = fields(json!({ "rpm": "60" })).integer("rpm", 1).unwrap_err();
        assert!(!error.is_range);
        assert!(error.to_string().ends_with("got \"60\""));
    }

    #[test]
    fn null_is_absent() {
        assert_eq!(fields(json!({ "rpm": null })).integer("rpm", 1), Ok(None));
    }

    #[test]
    fn a_whole_number_written_with_a_fraction_is_an_integer() {
        assert_eq!(fields(json!({ "rpm": 60.0 })).integer("rpm", 1), Ok(Some(60)));
    }

    #[test]
    fn an_unknown_option_is_refused_by_name() {
        let error = fields(json!({ "rmp": 1 })).finish("rpm, tpm").unwrap_err();
        assert_eq!(error.to_string(), "deploy options.rmp: expected one of the options rpm, tpm, got an unknown name");
    }

    #[test]
    fn an_object_in_a_message_keeps_its_contents_to_itself() {
        let error = fields(json!({ "rpm": { "apiKey": "sk-secret" } })).integer("rpm", 1).unwrap_err();
        assert!(!error.to_string().contains("sk-secret"));
    }
}
