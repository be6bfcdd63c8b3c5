//! What settles a call: one value, small enough to be made by the thousand.

use std::fmt::Write;

use napi::bindgen_prelude::{Float32Array, ToNapiValue, Uint8Array};
use napi::sys;
use napi_derive::napi;

use super::text;
use crate::error::Error;

/// What a letter says. The numbers are the face's too (`js/native.ts`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// The call is done.
    Settled = 0,
    /// The call failed.
    Failed = 1,
    /// Chunks of a stream.
    Batch = 2,
    /// The end of a stream.
    End = 3,
    /// A provider written in JavaScript is called.
    Custom = 4,
    /// That call is no longer wanted.
    Abort = 5,
    /// How far a call is that is not done yet.
    Progress = 6,
    /// There is room again for what a provider written in JavaScript says to a call.
    Continue = 7,
    /// Chunks of a stream, and more come without being asked for.
    More = 8,
}

/// Added to the kind of a letter in a JSON of many, whose raw text comes beside that JSON.
pub const WITH_RAW: u32 = 16;

/// A raw text of a letter, for JavaScript.
pub struct Raw(pub String);

impl ToNapiValue for Raw {
    unsafe fn to_napi_value(env: sys::napi_env, Raw(raw): Self) -> napi::Result<sys::napi_value> {
        text::string(env, &raw, raw.is_ascii())
    }
}

/// A letter on its way; turned into a JavaScript value only when it is taken out.
#[derive(Debug)]
pub struct Mail {
    pub kind: Kind,
    pub id: u32,
    pub text: Option<String>,
    pub raw: Option<String>,
    pub bytes: Option<Vec<u8>>,
    pub vectors: Option<(Vec<f32>, u32)>,
}

/// A letter as JavaScript sees it.
#[napi(object)]
pub struct Letter {
    pub kind: u32,
    pub id: u32,
    pub text: Option<String>,
    pub raw: Option<String>,
    pub bytes: Option<Uint8Array>,
    pub vectors: Option<Float32Array>,
    pub dimensions: Option<u32>,
}

impl Mail {
    pub fn new(kind: Kind, id: u32, text: Option<String>) -> Self {
        Self { kind, id, text, raw: None, bytes: None, vectors: None }
    }

    /// Whether it is nothing but texts.
    pub fn is_plain(&self) -> bool {
        self.bytes.is_none() && self.vectors.is_none()
    }

    /// Letters that are nothing but texts, as one JSON: kind, id and what it says, one letter after the other; [`WITH_RAW`] is added
    /// to the kind of one that has a raw text as well.
    pub fn all(mails: &[Self]) -> String {
        let mut all =
            String::with_capacity(mails.iter().map(|mail| mail.text.as_ref().map_or(4, String::len) + 16).sum());
        for mail in mails {
            let text = mail.text.as_deref().unwrap_or("null");
            // A string takes whatever is written to it.
            let kind = mail.kind as u32 + if mail.raw.is_some() { WITH_RAW } else { 0 };
            let _ = write!(all, "{}{kind},{},{text}", if all.is_empty() { '[' } else { ',' }, mail.id);
        }
        all.push(']');
        all
    }

    pub fn failed(id: u32, error: &Error) -> Self {
        Self::new(Kind::Failed, id, Some(super::failure::to_json(error)))
    }
}

impl From<Mail> for Letter {
    fn from(mail: Mail) -> Self {
        let (vectors, dimensions) = mail.vectors.unzip();
        Self {
            kind: mail.kind as u32,
            id: mail.id,
            text: mail.text,
            raw: mail.raw,
            bytes: mail.bytes.map(Uint8Array::new),
            vectors: vectors.map(Float32Array::new),
            dimensions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_text_are_one_json_in_their_order() {
        let mails = [Mail::new(Kind::More, 7, Some("[\"a\"]".to_owned())), Mail::new(Kind::Abort, u32::MAX, None)];
        assert_eq!(Mail::all(&mails), "[8,7,[\"a\"],5,4294967295,null]");
        let raw = Mail { raw: Some("{}".to_owned()), ..Mail::new(Kind::Settled, 1, Some("{}".to_owned())) };
        assert_eq!(Mail::all(std::slice::from_ref(&raw)), "[16,1,{}]");
        assert!(mails.iter().all(Mail::is_plain) && raw.is_plain());
        let rich = Mail { bytes: Some(Vec::new()), ..Mail::new(Kind::Batch, 1, None) };
        assert!(!rich.is_plain());
    }
}
