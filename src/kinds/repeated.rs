//! Events of a stream that say what the one before them said, but for the piece of content: nearly all of them. They are
//! told by their text, and only the piece is read.
//!
//! What stands around the piece was read as JSON once. A JSON string in the place of another leaves the rest what it was, so
//! an event with the same text around another piece says the same of everything else.

use serde_json::value::RawValue;

/// The text of an event around what differs.
#[derive(Debug)]
pub(super) struct Repeated {
    before: String,
    after: String,
    /// What stands after a second text that is of one event alone: OpenAI's padding, which hides how long a piece is.
    end: Option<String>,
}

impl Repeated {
    /// The text of `data` around these values, which have to be parts of it and JSON strings, the padding after the content.
    /// `None` if they are not.
    pub(super) fn around(data: &str, content: &RawValue, padding: Option<&RawValue>) -> Option<Self> {
        let (start, end) = inside(data, content)?;
        let Some(padding) = padding else {
            return Some(Self { before: data[..start].to_owned(), after: data[end..].to_owned(), end: None });
        };
        let (next, last) = inside(data, padding)?;
        let after = data.get(end..next)?.to_owned();
        Some(Self { before: data[..start].to_owned(), after, end: Some(data[last..].to_owned()) })
    }

    /// The content of an event that differs in nothing else, as JSON.
    pub(super) fn content<'a>(&self, data: &'a str) -> Option<&'a str> {
        let rest = data.strip_prefix(self.before.as_str())?;
        let length = string_length(rest)?;
        let mut after = rest[length..].strip_prefix(self.after.as_str())?;
        if let Some(end) = &self.end {
            after = after[string_length(after)?..].strip_prefix(end.as_str())?;
        }
        let start = self.before.len();
        after.is_empty().then(|| &data[start - 1..=start + length])
    }
}

/// Where the text of a string begins and ends, without its quotation marks.
fn inside(data: &str, value: &RawValue) -> Option<(usize, usize)> {
    let start = (value.get().as_ptr() as usize).checked_sub(data.as_ptr() as usize)?;
    let end = start + value.get().len();
    let is_string = value.get().len() > 1 && value.get().starts_with('"');
    (is_string && data.get(start..end) == Some(value.get())).then_some((start + 1, end - 1))
}

/// The length of the JSON string that begins here, after its quotation mark, up to the one that ends it. `None` if it is
/// none.
fn string_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => {
                at += match bytes.get(at + 1)? {
                    b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    _ => return None,
                };
            }
            0..0x20 => return None,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn around(data: &str, has_padding: bool) -> Option<Repeated> {
        #[derive(serde::Deserialize)]
        struct Event<'a> {
            #[serde(borrow)]
            c: &'a RawValue,
            #[serde(borrow, default)]
            p: Option<&'a RawValue>,
        }
        let event: Event<'_> = serde_json::from_str(data).unwrap();
        Repeated::around(data, event.c, event.p.filter(|_| has_padding))
    }

    #[test]
    fn what_differs_elsewhere_is_no_repetition() {
        let repeated = around(r#"{"id":1,"c":"a","n":null}"#, false).unwrap();
        assert_eq!(repeated.content(r#"{"id":1,"c":"b\"\u00e9 ","n":null}"#), Some(r#""b\"\u00e9 ""#));
        assert_eq!(repeated.content(r#"{"id":1,"c":"","n":null}"#), Some(r#""""#));
        for other in [
            r#"{"id":2,"c":"b","n":null}"#,
            r#"{"id":1,"c":"b","n":1}"#,
            r#"{"id":1,"c":"b","n":null} "#,
            r#"{"id":1,"c":"b"}"#,
            r#"{"id":1,"c":null,"n":null}"#,
            r#"{"id":1,"c":"b\x","n":null}"#,
            r#"{"id":1,"c":"b\u12","n":null}"#,
            "{\"id\":1,\"c\":\"b\n\",\"n\":null}",
            r#"{"id":1,"c":"b"#,
            r#"{"id":1,"c":""#,
            "",
        ] {
            assert_eq!(repeated.content(other), None, "{other}");
        }
        assert!(around(r#"{"c":["a"]}"#, false).is_none() && around(r#"{"p":"x","c":"a"}"#, true).is_none());
    }

    #[test]
    fn padding_of_any_length_is_passed_over() {
        let repeated = around(r#"{"c":"a","x":1,"p":"abc"}"#, true).unwrap();
        assert_eq!(repeated.content(r#"{"c":"b","x":1,"p":""}"#), Some(r#""b""#));
        assert_eq!(repeated.content(r#"{"c":"b","x":2,"p":""}"#), None);
        assert_eq!(repeated.content(r#"{"c":"b","x":1,"p":1}"#), None);
    }

    proptest! {
        #[test]
        fn what_is_taken_for_a_repetition_is_one(
            first in ".{0,8}",
            second in ".{0,8}",
            text in r#"(\{"i":1,"c":")?([a-z"\\u0-9 {}:,]|\\u00e9|\\n|\u{1f600}){0,12}(","p":")?[a-z"\\]{0,4}("\})?"#,
        ) {
            let write = |content: &str, padding: &str| serde_json::json!({ "c": content, "p": padding }).to_string();
            let repeated = around(&write(&first, "x"), true).unwrap();
            let data = write(&second, &first);
            prop_assert_eq!(repeated.content(&data), Some(&*Value::from(second).to_string()));
            // Of any text: if it is taken for one, it is JSON and says so.
            let around = around(r#"{"i":1,"c":"","p":""}"#, true).unwrap();
            if let Some(content) = around.content(&text) {
                let event: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&event["i"], &Value::from(1));
                prop_assert_eq!(&event["c"], &serde_json::from_str::<Value>(content).unwrap());
            }
        }
    }
}
