//! One answer as a line of JSON, and back.
//!
//! `{"key":…,"deployment":…,"created":…,"expires":…,"question":…,"answer":…}`: the key in hexadecimal; the times in ISO 8601,
//! or as milliseconds since 1970 where the year has more than four digits; the sketch of the question, if there is one.
//! The answer is `{"json":[…]}`, the JSON values that stand one on a line in it, each to the letter, or `{"text":…}`, or
//! `{"base64":…}`. What is not of the default namespace has its `namespace` after `expires`, or, if the name is not known,
//! the `tag` that this file has for it, in hexadecimal.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::{Codec, Key, MAX_SKETCH_BYTES, Namespace, Record};
use super::time;

/// Longer than any name of a model, and short enough for a record.
const MAX_NAME_BYTES: usize = 1 << 16;

/// Writes a line of a cache with this codec, without its end. `namespace` is the record's, if that is known.
pub(super) fn write(key: &Key, record: &Record, namespace: Option<&str>, codec: &Codec) -> String {
    let mut out = format!("{{\"key\":\"{}\"", hex(&key.0));
    let mut push = |name: &str, json: &str| out.extend([",\"", name, "\":", json]);
    push("deployment", &quoted(&record.deployment));
    push("created", &moment(record.created_ms));
    push("expires", &moment(record.expires_ms));
    match namespace {
        Some("") => {}
        Some(name) => push("namespace", &quoted(name)),
        None => push("tag", &quoted(&tag(record.namespace, codec))),
    }
    if let Some(question) = std::str::from_utf8(&record.question).ok().and_then(one_line) {
        push("question", question);
    }
    push("answer", &answer(&record.payload));
    out.push('}');
    out
}

/// Reads a line, for a cache with this codec.
///
/// # Errors
/// Which field is not as it should be: what was expected, and what came.
pub(super) fn read(line: &str, codec: &Codec) -> Result<(Key, Record), String> {
    let mut fields = Fields::parse(line, "a JSON object")?;
    let key = fields.take("key", "64 hexadecimal digits", |text: String| unhex(&text))?;
    let deployment = fields.take("deployment", "a string of at most 65536 bytes", |name: String| {
        Some(name).filter(|name| name.len() <= MAX_NAME_BYTES)
    })?;
    let created_ms = fields.take("created", MOMENT, unmoment)?;
    let expires_ms = fields.take("expires", MOMENT, unmoment)?;
    let namespace = if fields.0.contains_key("tag") {
        fields.take("tag", TAG, |text: String| untag(&text, codec))?
    } else if fields.0.contains_key("namespace") {
        codec.namespace(&fields.take("namespace", "a string", |name: String| Some(name))?)
    } else {
        codec.namespace("")
    };
    let question = fields.0.remove("question").map_or("", RawValue::get);
    if question.len() > MAX_SKETCH_BYTES {
        let length = question.len();
        return Err(format!("question: expected at most {MAX_SKETCH_BYTES} bytes of JSON, got {length}"));
    }
    let question = Bytes::copy_from_slice(question.as_bytes());
    let payload = read_answer(fields.raw("answer")?)?;
    fields.finish("key, deployment, created, expires, namespace, tag, question, answer")?;
    Ok((Key(key), Record { deployment, created_ms, expires_ms, namespace, question, payload }))
}

fn answer(payload: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(payload) else {
        return format!("{{\"base64\":\"{}\"}}", BASE64.encode(payload));
    };
    match text.split('\n').map(one_line).collect::<Option<Vec<_>>>() {
        Some(values) => format!("{{\"json\":[{}]}}", values.join(",")),
        None => format!("{{\"text\":{}}}", quoted(text)),
    }
}

fn read_answer(raw: &RawValue) -> Result<Bytes, String> {
    const EXPECTED: &str = "an object with one of json, text, base64";
    let mut forms = Fields::parse(raw.get(), EXPECTED).map_err(|message| format!("answer: {message}"))?;
    let form = forms.0.keys().next().filter(|_| forms.0.len() == 1).cloned();
    let inside = |message: String| format!("answer.{message}");
    match form.as_deref() {
        Some("json") => {
            let values: Vec<&RawValue> = serde_json::from_str(forms.raw("json")?.get())
                .map_err(|_| inside(format!("json: expected an array, got {}", shorten(raw.get()))))?;
            Ok(values.iter().map(|value| value.get()).collect::<Vec<_>>().join("\n").into())
        }
        Some("text") => forms.take("text", "a string", |text: String| Some(text.into())).map_err(inside),
        Some("base64") => {
            let decode = |text: String| BASE64.decode(text).ok().map(Bytes::from);
            forms.take("base64", "base64", decode).map_err(inside)
        }
        _ => Err(format!("answer: expected {EXPECTED}, got {}", shorten(raw.get()))),
    }
}

/// The text, if it is one JSON value that fits on a line as it is.
fn one_line(text: &str) -> Option<&str> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    Some(text).filter(|text| value.get().len() == text.len() && !text.contains(['\n', '\r']))
}

const TAG: &str = "that of a cache with the same encryptionKey, or none, as this one (an export of one namespace has its name instead)";

/// How a file marks a namespace: 16 hexadecimal digits, in an encrypted one after those that tell its key, as another key
/// marks the same namespace otherwise.
fn tag(namespace: Namespace, codec: &Codec) -> String {
    let tag = hex(&namespace.0.to_be_bytes());
    match codec.seal() {
        0 => tag,
        seal => format!("{}:{tag}", hex(&seal.to_be_bytes())),
    }
}

fn untag(text: &str, codec: &Codec) -> Option<Namespace> {
    let (seal, tag) = text.split_once(':').map_or((Some(0), text), |(seal, tag)| (number(seal), tag));
    if seal != Some(codec.seal()) {
        return None;
    }
    number(tag).map(Namespace)
}

fn number(digits: &str) -> Option<u64> {
    unhex(digits).map(u64::from_be_bytes)
}

const MOMENT: &str = "a time such as 2026-01-31T09:30:00.250Z, or milliseconds since 1970";

fn moment(ms: u64) -> String {
    time::format(ms).map_or_else(|| ms.to_string(), |text| quoted(&text))
}

fn unmoment(value: Value) -> Option<u64> {
    match value {
        Value::String(text) => time::parse(&text),
        other => other.as_u64(),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |out, byte| out + &format!("{byte:02x}"))
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_right = text.len() == 2 * N && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for (place, byte) in bytes.iter_mut().enumerate().filter(|_| is_right) {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    is_right.then_some(bytes)
}

/// The fields of one object that have not been read yet.
struct Fields<'l>(BTreeMap<String, &'l RawValue>);

impl<'l> Fields<'l> {
    fn parse(text: &'l str, expected: &str) -> Result<Self, String> {
        let fields = serde_json::from_str(text).map_err(|_| format!("expected {expected}, got {}", shorten(text)))?;
        Ok(Self(fields))
    }

    fn raw(&mut self, name: &str) -> Result<&'l RawValue, String> {
        self.0.remove(name).ok_or_else(|| format!("{name}: it is missing"))
    }

    fn take<T: DeserializeOwned, U>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl Fn(T) -> Option<U>,
    ) -> Result<U, String> {
        let raw = self.raw(name)?;
        let value = serde_json::from_str(raw.get()).ok().and_then(read);
        value.ok_or_else(|| format!("{name}: expected {expected}, got {}", shorten(raw.get())))
    }

    fn finish(self, known: &str) -> Result<(), String> {
        match self.0.first_key_value() {
            Some((name, _)) => {
                Err(format!("{}: expected one of the fields {known}, got an unknown name", shorten(name)))
            }
            None => Ok(()),
        }
    }
}

/// A value as a message shows it: its beginning.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(payload: Vec<u8>, question: &'static str, times: (u64, u64)) -> Record {
        let (created_ms, expires_ms) = times;
        Record {
            deployment: "openai::\"gpt\u{1f600}\n4o\"".to_owned(),
            created_ms,
            expires_ms,
            namespace: Namespace::new("tenant"),
            question: question.into(),
            payload: payload.into(),
        }
    }

    proptest! {
        #[test]
        fn every_answer_comes_back_as_it_was(
            bytes in any::<[u8; 32]>(),
            payload in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                "[\\[\\]{}\":, 0-9\n\r\t\u{1f600}]{0,20}".prop_map(String::into_bytes),
                prop::sample::select(vec!["", "\n", "null\n{\"a\": [1.10,1]}", "null\n{\n}", " 1", "1\n\n", "\"\\ud800\""])
                    .prop_map(|text| text.as_bytes().to_vec()),
            ],
            question in prop::sample::select(vec!["", r#"{"kind":"x"}"#]),
            times in (any::<u64>(), prop_oneof![any::<u64>(), Just(u64::MAX), 0..2_000_000_000_000_u64]),
        ) {
            let (key, record) = (Key(bytes), record(payload, question, times));
            for namespace in [Some("tenant"), None] {
                let line = write(&key, &record, namespace, &Codec::default());
                prop_assert!(!line.contains('\n'));
                prop_assert_eq!(read(&line, &Codec::default()), Ok((key, record.clone())), "{}", line);
            }
        }

        #[test]
        fn no_line_makes_it_panic(line in "[\\[\\]{}\":, 0-9a-z\u{1f600}]{0,40}") {
            prop_assert!(read(&line, &Codec::default()).is_err());
        }
    }

    #[test]
    fn a_line_can_be_read_by_people() {
        let record = record(b"null\n{\"choices\": []}".to_vec(), r#"{"kind":"completion"}"#, (0, u64::MAX));
        let line = write(&Key([7; 32]), &record, Some("ten\"ant"), &Codec::default());
        assert!(line.starts_with("{\"key\":\"0707"), "{line}");
        let expected =
            r#","created":"1970-01-01T00:00:00.000Z","expires":18446744073709551615,"namespace":"ten\"ant","#;
        assert!(line.contains(expected), "{line}");
        let expected = r#","question":{"kind":"completion"},"answer":{"json":[null,{"choices": []}]}}"#;
        assert!(line.ends_with(expected), "{line}");
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected_and_what_came() {
        let good = write(&Key([7; 32]), &record(b"null".to_vec(), "", (0, 1)), None, &Codec::default());
        let long = |field: &str, bytes: usize| format!("\"{field}\":\"{}\",\"answer\":", "x".repeat(bytes));
        let (question, name) = (long("question", 1_023), long("deployment", 65_537));
        for (old, new, message) in [
            ("\"key\":\"07", "\"key\":\"7", "key: expected 64 hexadecimal digits, got \"70707"),
            ("\"deployment\":", "\"deployed\":", "deployment: it is missing"),
            ("\"answer\":", &name, "deployment: expected a string of at most 65536 bytes, got \"xxx"),
            ("\"answer\":", &question, "question: expected at most 1024 bytes of JSON, got 1025"),
            ("\"expires\":", "\"x\":1,\"expires\":", "x: expected one of the fields key, deployment,"),
            ("1970-01-01T00:00:00.001Z", "1970-01-32T00:00:00.001Z", "expires: expected a time such as"),
            ("{\"json\":[null]}", "{\"base64\":\"?\"}", "answer.base64: expected base64, got \"?\""),
            ("{\"json\":[null]}", "{\"json\":1}", "answer.json: expected an array, got"),
            ("{\"json\":[null]}", "{\"text\":1}", "answer.text: expected a string, got 1"),
            ("{\"json\":[null]}", "{}", "answer: expected an object with one of json, text, base64, got {}"),
            ("{\"json\":[null]}", "7", "answer: expected an object with one of json, text, base64, got 7"),
            ("\"tag\":", "\"namespace\":7,\"tag\":", "namespace: expected one of the fields"),
            ("\"tag\":\"", "\"tag\":\"z", "tag: expected that of a cache with the same encryptionKey"),
            ("{\"key\"", "[\"key\"", "expected a JSON object, got [\"key\""),
        ] {
            let error = read(&good.replacen(old, new, 1), &Codec::default()).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn a_mark_of_a_namespace_is_read_only_where_it_was_made() {
        use crate::cache::EncryptionKey;
        let codecs = [None, Some([1; 32]), Some([2; 32])].map(|key| Codec::new(key.map(EncryptionKey::new).as_ref()));
        for (maker, made) in codecs.iter().enumerate() {
            let record = record(b"null".to_vec(), "", (0, 1));
            let record = Record { namespace: made.namespace("tenant"), ..record };
            let line = write(&Key([7; 32]), &record, None, made);
            for (reader, codec) in codecs.iter().enumerate() {
                assert_eq!(read(&line, codec).is_ok(), reader == maker, "{line}");
            }
            assert_eq!(read(&line, made).unwrap().1.namespace, record.namespace);
        }
    }
}
