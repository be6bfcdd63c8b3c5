//! A wire body: the fields of one JSON object, in their order, each as the very text that came.
//!
//! Fields that thryd does not know travel unchanged because nothing here ever rewrites them. The text is there once, whoever
//! holds the body or a part of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use serde_json::value::RawValue;

use super::open::Name;
use super::shared::Shared;
use crate::error::Invalid;

/// A JSON object as its fields' raw text. A name that stands twice counts once, the last, as in `JSON.parse`. Cloning copies
/// no text.
#[derive(Clone, Default)]
pub struct Body {
    fields: Vec<(Shared, Shared)>,
}

/// Bytes of a text that are worth a copy of what is left of it.
const MUCH: usize = 4 << 10;

/// Fields up to which a name is looked for among all others.
const FEW: usize = 16;

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
        Self::of(text.to_owned())
    }

    /// As [`parse`](Self::parse), without a copy of the text.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn of(text: String) -> Result<Self, Invalid> {
        Self::read_all(text).map_err(|error| Invalid::type_error("request", "a JSON object", error))
    }

    fn read_all(text: String) -> serde_json::Result<Self> {
        let whole = Shared::new(text);
        let Fields(found) = serde_json::from_str(whole.get())?;
        let mut fields: Vec<(Shared, Shared)> = Vec::with_capacity(found.len());
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (name, raw) in &found {
            let raw = whole.slice(raw.get());
            let place = if found.len() <= FEW {
                fields.iter().position(|(field, _)| **field == **name)
            } else {
                places.get(&**name).copied()
            };
            if let Some(place) = place {
                fields[place].1 = raw;
                continue;
            }
            if found.len() > FEW {
                places.insert(name, fields.len());
            }
            let name = match name {
                Cow::Borrowed(name) => whole.slice(name),
                Cow::Owned(name) => Shared::new(name.clone()),
            };
            fields.push((name, raw));
        }
        Ok(Self { fields })
    }

    /// The raw text of a field; `None` if it is absent or null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, raw) = self.fields.iter().find(|(field, _)| **field == *name)?;
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
        self.put(name, Shared::new(serde_json::to_string(value).expect("plain data serialises")));
    }

    /// Sets a field to JSON text, in its place if it is there, else at the end.
    pub fn put(&mut self, name: &str, raw: Shared) {
        match self.fields.iter_mut().find(|(field, _)| **field == *name) {
            Some((_, old)) => *old = raw,
            None => self.fields.push((name.into(), raw)),
        }
    }

    /// Removes a field.
    ///
    /// # Panics
    /// If a field was [`put`](Self::put) that is not JSON.
    pub fn remove(&mut self, name: &str) -> Option<Box<RawValue>> {
        let raw = self.take(name)?;
        Some(RawValue::from_string(raw.get().to_owned()).expect("a body holds JSON"))
    }

    /// As [`remove`](Self::remove), without a copy.
    pub fn take(&mut self, name: &str) -> Option<Shared> {
        let place = self.fields.iter().position(|(field, _)| **field == *name)?;
        Some(self.fields.remove(place).1)
    }

    /// Lets go of a text of which the fields are only a small part by now, by copying that part.
    pub fn let_go(&mut self) {
        // By what is kept: how much of it is used.
        let mut used: HashMap<*const String, usize> = HashMap::new();
        for text in self.fields.iter().flat_map(|(name, raw)| [name, raw]).filter(|text| text.kept() > MUCH) {
            *used.entry(text.whole()).or_default() += text.len();
        }
        for text in self.fields.iter_mut().flat_map(|(name, raw)| [name, raw]) {
            if used.get(&text.whole()).is_some_and(|used| *used < text.kept() / 2) {
                *text = text.get().into();
            }
        }
    }

    /// Gives a field another name, in its place; a field that has that name already makes way.
    pub fn rename(&mut self, old: &str, new: &str) {
        if old == new || !self.fields.iter().any(|(field, _)| **field == *old) {
            return;
        }
        self.fields.retain(|(field, _)| **field != *new);
        if let Some((field, _)) = self.fields.iter_mut().find(|(field, _)| **field == *old) {
            *field = new.into();
        }
    }

    /// Drops the fields that are null: null is absent.
    pub fn drop_nulls(&mut self) {
        self.fields.retain(|(_, raw)| raw.get() != "null");
    }

    /// The fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, raw)| (name.get(), raw.get()))
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
    ///
    /// # Panics
    /// Never: a vector takes every byte.
    #[must_use]
    pub fn write(&self, first: &[(&str, &str)]) -> Bytes {
        let mut out = Vec::with_capacity(self.len() + 64);
        out.push(b'{');
        for (name, value) in first {
            push_name(&mut out, name);
            serde_json::to_writer(&mut out, value).expect("a vector takes every byte");
        }
        for (name, raw) in self.iter().filter(|(name, _)| first.iter().all(|(fixed, _)| fixed != name)) {
            push_field(&mut out, name, raw);
        }
        out.push(b'}');
        out.into()
    }
}

fn push_field(out: &mut Vec<u8>, name: &str, raw: &str) {
    push_name(out, name);
    out.extend_from_slice(raw.as_bytes());
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    if out.len() > 1 {
        out.push(b',');
    }
    serde_json::to_writer(&mut *out, name).expect("a vector takes every byte");
    out.push(b':');
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
        let raw = |raw| serde_json::from_str::<&RawValue>(raw).map_err(ser::Error::custom);
        let fields: Vec<_> = self.iter().map(|(name, text)| Ok((name, raw(text)?))).collect::<Result<_, S::Error>>()?;
        serializer.collect_map(fields)
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::read_all(String::from(Box::<str>::from(raw))).map_err(Error::custom)
    }
}

/// The fields of an object as parts of its text, names that stand twice too.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some((Name(name), raw)) = map.next_entry()? {
                    fields.push((name, raw));
                }
                Ok(Fields(fields))
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
    fn many_fields_are_read_as_few_are() {
        let text = |fields: usize| {
            let fields = (0..fields).map(|at| format!("\"f{}\":{at}", at % 1_000));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        };
        for fields in [FEW, FEW + 1, 1_000, 50_000] {
            let body = Body::parse(&text(fields)).unwrap();
            let expected = |place| (fields - 1 - place) / 1_000 * 1_000 + place;
            let all: Vec<_> = (0..fields.min(1_000)).map(|at| (format!("f{at}"), expected(at).to_string())).collect();
            assert!(body.iter().eq(all.iter().map(|(name, raw)| (&**name, &**raw))), "{fields}");
        }
    }

    #[test]
    fn a_name_that_is_escaped_is_the_name_it_stands_for() {
        let body = Body::parse(r#"{"\u006e":1,"n":2,"a\"b":3}"#).unwrap();
        assert_eq!(body.get("n"), Some("2"));
        assert_eq!(&body.write(&[])[..], br#"{"n":2,"a\"b":3}"#);
    }

    #[test]
    fn a_prompt_is_there_once_however_many_hold_it() {
        let text = format!(r#"{{"prompt":"{}","n":1}}"#, "a".repeat(1 << 20));
        let start = text.as_ptr() as usize;
        let body = Body::of(text).unwrap();
        let mut copy = body.clone();
        copy.set("n", &2);
        copy.rename("prompt", "input");
        let place = copy.get("input").unwrap().as_ptr() as usize;
        assert!((start..start + 20).contains(&place));
        assert_eq!(copy.take("input").unwrap().as_ptr() as usize, place);
    }

    #[test]
    fn what_is_left_of_a_long_text_does_not_keep_it() {
        let mut body = Body::of(format!(r#"{{"message":"{}","n":1,"m":[2]}}"#, "a".repeat(1 << 20))).unwrap();
        body.let_go();
        assert!(body.fields[1].1.kept() > 1 << 20, "most of it is used");
        body.set("message", &"short");
        body.let_go();
        assert!(body.fields.iter().all(|(name, raw)| name.kept() < 10 && raw.kept() < 10), "{body:?}");
        assert_eq!(&body.write(&[])[..], br#"{"message":"short","n":1,"m":[2]}"#);
    }

    #[test]
    fn many_fields_are_let_go_of_in_one_pass() {
        let fields = |count: usize| (0..count).map(|at| format!("\"field {at}\":{at}")).collect::<Vec<_>>().join(",");
        let mut body = Body::of(format!(r#"{{"message":"{}",{}}}"#, "a".repeat(1 << 22), fields(100_000))).unwrap();
        body.set("message", &"short");
        body.let_go();
        assert_eq!((body.iter().count(), body.get("field 99999")), (100_001, Some("99999")));
        assert!(body.fields.iter().all(|(name, raw)| name.kept() + raw.kept() < 32));
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for text in ["", "[]", "1", "\"a\"", "{", "null", "{\"a\":}"] {
            assert!(Body::parse(text).is_err(), "{text}");
        }
    }
}
