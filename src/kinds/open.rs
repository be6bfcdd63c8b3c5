//! Objects of which some fields are known by name, as servers send them: what is not known is kept or passed over, and of a
//! name that stands twice the last one counts, as in `JSON.parse`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::text::borrowed;

/// The fields of an object that thryd reads itself.
pub(super) trait Known<'de>: Default {
    /// Reads the value of a field that it knows, and says whether it does.
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Reads the value of a field; one that is null is absent.
pub(super) fn set<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    field: &mut Option<T>,
    map: &mut A,
) -> Result<bool, A::Error> {
    *field = map.next_value()?;
    Ok(true)
}

/// Reads the value of a field that is a text; one that is anything else is absent.
pub(super) fn word<'de, A: MapAccess<'de>>(field: &mut Option<Cow<'de, str>>, map: &mut A) -> Result<bool, A::Error> {
    let raw: &RawValue = map.next_value()?;
    *field = borrowed(raw.get());
    Ok(true)
}

/// Passes over the value of a field that is not to be kept.
pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<bool, A::Error> {
    map.next_value::<IgnoredAny>().map(|_| true)
}

/// Most choices of an answer, tool calls of a choice, and fields of an object that nobody knows. OpenAI takes an `n` of up to
/// 128. An answer with more is none: each costs many times the memory of its text, and is looked for among the others.
pub(super) const MAX_ITEMS: usize = 256;

/// A list of at most so many.
#[derive(Debug)]
pub(super) struct List<T, const MOST: usize = MAX_ITEMS>(pub(super) Vec<T>);

// Not derived: a list that is not there is empty, whatever is in it.
impl<T, const MOST: usize> Default for List<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for List<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

struct Items<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Items<T, MOST> {
    type Value = List<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T, MOST>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == MOST {
                return Err(A::Error::custom(format_args!("a list of more than {MOST}")));
            }
            list.push(item);
        }
        Ok(List(list))
    }
}

/// Fields by name, each as the text that came.
pub(super) type Rest<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// An object of which some fields are known, and the rest kept as text: read in one pass, because events come by the
/// thousand.
pub(super) struct Open<'a, T> {
    pub(super) known: T,
    /// In their order; without those that are null.
    pub(super) rest: Rest<'a>,
}

impl<'de, T: Known<'de>> Deserialize<'de> for Open<'de, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData::<T>))
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Known<'de>> Visitor<'de> for Fields<T> {
    type Value = Open<'de, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut open = Open { known: T::default(), rest: Vec::new() };
        while let Some(Name(name)) = map.next_key()? {
            if open.known.take(&name, &mut map)? {
                continue;
            }
            let raw: &RawValue = map.next_value()?;
            if raw.get() == "null" {
                continue;
            }
            if let Some((_, old)) = open.rest.iter_mut().find(|(known, _)| *known == name) {
                *old = raw;
                continue;
            }
            if open.rest.len() == MAX_ITEMS {
                return Err(A::Error::custom(format_args!("an object of more than {MAX_ITEMS} fields")));
            }
            open.rest.push((name, raw));
        }
        Ok(open)
    }
}

/// An object of which only the known fields are of interest.
#[derive(Default)]
pub(super) struct Named<T>(pub(super) T);

impl<'de, T: Known<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KnownFields(PhantomData::<T>))
    }
}

struct KnownFields<T>(PhantomData<T>);

impl<'de, T: Known<'de>> Visitor<'de> for KnownFields<T> {
    type Value = Named<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
        let mut known = T::default();
        while let Some(Name(name)) = map.next_key()? {
            if !known.take(&name, &mut map)? {
                skip(&mut map)?;
            }
        }
        Ok(Named(known))
    }
}

/// The name of a field, borrowed if it was written without escapes.
#[derive(Deserialize)]
pub(super) struct Name<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);
