//! What was asked, short enough to be kept beside the answer and to be compared with another question leaf by leaf.
//!
//! A question is the JSON object `{"kind":…,"models":[…],"request":{…}}` in canonical form, the request with the fields
//! that are in the key. Its sketch is the same object with what is long abbreviated, to at most [`MAX_SKETCH_BYTES`]:
//!
//! - a text keeps its beginning: `"What is the…1204:9f86d081"`, the beginning, its length in bytes and its hash;
//! - an array becomes `["…12:5301:9f86d081"]`, the number of its items, its length in bytes and its hash;
//! - an object becomes `{"…":"3:5301:9f86d081"}` likewise.
//!
//! The hash is the first 32 bits of the BLAKE3 hash of the canonical text. Whatever could be taken for an abbreviation
//! is abbreviated itself, so a sketch reads in one way only.

mod difference;
mod sketch;
mod tree;

use bytes::Bytes;

pub use difference::{Difference, Side};
pub use sketch::MAX_SKETCH_BYTES;

use super::{canonical, key};
use crate::kinds::Body;
use tree::Node;

/// A whole question: what a key is the hash of, but for the namespace.
#[derive(Clone, Debug)]
pub struct Question {
    text: String,
}

impl Question {
    /// A request of this kind to a group of these models (as they stand in the key), in any order.
    pub fn new<'a>(kind: &str, models: impl Iterator<Item = &'a str>, body: &Body) -> Self {
        let models = key::distinct(models);
        let (kind, models) = (serde_json::Value::from(kind), serde_json::Value::from(models));
        let head = format!("{{\"kind\":{kind},\"models\":{models},\"request\":");
        // What is long is copied once: a request may have megabytes.
        let mut text = canonical::write_object(key::deciding(body), head.into_bytes()).into_bytes();
        text.push(b'}');
        Self { text: String::from_utf8(text).unwrap_or_default() }
    }

    /// The short form, valid JSON of at most [`MAX_SKETCH_BYTES`].
    #[must_use]
    pub fn sketch(&self) -> Bytes {
        sketch::sketch(&Node::parse(&self.text)).into()
    }

    /// Where the question of this sketch is another one, in the order of this one; empty if it is the same.
    #[must_use]
    pub fn differences(&self, sketch: &str) -> Vec<Difference> {
        difference::all(&Node::parse(sketch), &Node::parse(&self.text))
    }

    /// How near the questions of sketches are to this one: see [`Distance::to`].
    pub(super) fn distance(&self) -> Distance<'_> {
        Distance(Node::parse(&self.text))
    }
}

/// A question to which many are compared.
pub(super) struct Distance<'q>(Node<'q>);

impl Distance<'_> {
    /// 0 if the question of this sketch is the same; the nearer, the less.
    pub fn to(&self, sketch: &str) -> u32 {
        difference::distance(&Node::parse(sketch), &self.0)
    }
}
