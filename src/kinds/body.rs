//! A wire body: the fields of one JSON object, in their order, each as the very text that came.
//!
//! Fields that thryd does not know travel unchanged because nothing here ever rewrites them.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::Invalid;

/// A JSON object as its fields' raw text. A name that stands twice counts once, the last, as in `JSON.parse`.
#[derive(Clone, Default)]
pub struct Body {
    fields: Vec<(String, Box<RawValue>)>,
}

impl Body {
    /// An empty body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a JSON object.
    ///
    /// # Errors
    /// If the text is not JSON or not an object.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        serde_json::from_str(text).map_err(|error| Invalid::type_error("request", "a JSON object", error))
    }

    /// The raw text of a field; `None` if it is absent or null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, raw) = self.fields.iter().find(|(field, _)| field == name)?;
        Some(raw.get()).filter(|text| *text != "null")
    }

    /// The field read as `T`; `None` if it is absent or null.
    ///
    /// # Errors
    /// If it is there and is not a `T`; `expected` says what a `T` is.
    pub fn read<T: DeserializeOwned>(&self, name: &str, expected: &str) -> Result<Option<T>, Invalid> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        serde_json::from_str(raw)
            .map(Some)
            .map_err(|_| Invalid::type_error(format!("request.{name}"), expected, shorten(raw)))
    }

    /// Sets a field, in its place if it is there, else at the end.
    ///
    /// # Panics
    /// If the value does not serialise, which plain data always does.
    pub fn set(&mut self, name: &str, value: &impl Serialize) {
        let raw = serde_json::value::to_raw_value(value).expect("plain data serialises");
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => *old = raw,
            None => self.fields.push((name.to_owned(), raw)),
        }
    }

    /// Removes a field.
    pub fn remove(&mut self, name: &str) -> Option<Box<RawValue>> {
        let place = self.fields.iter().position(|(field, _)| field == name)?;
        Some(self.fields.remove(place).1)
    }

    /// Gives a field another name, in its place; a field that has that name already makes way.
    pub fn rename(&mut self, old: &str, new: &str) {
        if old == new || !self.fields.iter().any(|(field, _)| field == old) {
            return;
        }
        self.fields.retain(|(field, _)| field != new);
        if let Some((field, _)) = self.fields.iter_mut().find(|(field, _)| field == old) {
            new.clone_into(field);
        }
    }

    /// Drops the fields that are null: null is absent.
    pub fn drop_nulls(&mut self) {
        self.fields.retain(|(_, raw)| raw.get() != "null");
    }

    /// The fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, raw)| (name.as_str(), raw.get()))
    }

    /// Bytes that the fields take, about: an upper bound of the tokens in them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.iter().map(|(name, raw)| name.len() + raw.get().len() + 4).sum()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The body as it goes out: `first` (such as `("model", "gpt-4o")`) before the fields, each name once.
    #[must_use]
    pub fn write(&self, first: &[(&str, &str)]) -> Bytes {
        let mut out = Vec::with_capacity(self.len() + 64);
        out.push(b'{');
        let fixed = first.iter().map(|(name, value)| (*name, serde_json::Value::from(*value).to_string()));
        for (name, raw) in fixed {
            push_field(&mut out, name, &raw);
        }
        for (name, raw) in self.iter().filter(|(name, _)| first.iter().all(|(fixed, _)| fixed != name)) {
            push_field(&mut out, name, raw);
        }
        out.push(b'}');
        out.into()
    }
}

fn push_field(out: &mut Vec<u8>, name: &str, raw: &str) {
    if out.len() > 1 {
        out.push(b',');
    }
    serde_json::to_writer(&mut *out, name).expect("a vector takes every byte");
    out.push(b':');
    out.extend_from_slice(raw.as_bytes());
}

/// A value as a message shows it: its beginning.
fn shorten(raw: &str) -> String {
    match raw.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &raw[..end]),
        None => raw.to_owned(),
    }
}

impl AsRef<Body> for Body {
    fn as_ref(&self) -> &Body {
        self
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields.iter().map(|(name, raw)| (name, raw)))
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Body;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
                let mut fields: Vec<(String, Box<RawValue>)> = Vec::with_capacity(8);
                let mut seen = std::collections::HashMap::new();
                while let Some((name, raw)) = map.next_entry::<String, Box<RawValue>>()? {
                    if let Some(&place) = seen.get(&name) {
                        fields[place] = (name, raw);
                    } else {
                        seen.insert(name.clone(), fields.len());
                        fields.push((name, raw));
                    }
                }
                Ok(Body { fields })
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_travel_to_the_letter() {
        let body =
            Body::parse(r#"{"message":"a","x_big":12345678901234567890123,"x_float":1.10,"x":{"b":1, "a" : [ ]}}"#)
                .unwrap();
        let out = body.write(&[("model", "m\"1")]);
        assert_eq!(
            std::str::from_utf8(&out).unwrap(),
            r#"{"model":"m\"1","message":"a","x_big":12345678901234567890123,"x_float":1.10,"x":{"b":1, "a" : [ ]}}"#
        );
    }

    #[test]
    fn a_caller_cannot_smuggle_in_another_model() {
        let body = Body::parse(r#"{"model":"expensive","n":1}"#).unwrap();
        assert_eq!(&body.write(&[("model", "cheap")])[..], br#"{"model":"cheap","n":1}"#);
    }

    #[test]
    fn a_name_that_stands_twice_counts_once() {
        let body = Body::parse(r#"{"n":1,"m":2,"n":3}"#).unwrap();
        assert_eq!(&body.write(&[])[..], br#"{"n":3,"m":2}"#);
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for text in ["", "[]", "1", "\"a\"", "{", "null", "{\"a\":}"] {
            assert!(Body::parse(text).is_err(), "{text}");
        }
    }
}
