//! Texts of an answer as servers write them: a string or a list of parts, and also with half a character at its end.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// A JSON string. JSON has halves of characters (lone surrogates), which UTF-8 has not: they are replaced, as a JavaScript
/// that prints them does. `None` for anything else.
pub(crate) fn text(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok().or_else(|| {
        let is_text = raw.starts_with('"');
        is_text.then(|| serde_json::from_str(&without_halves(raw)).ok()).flatten()
    })
}

/// The same, borrowed if there are no escapes in it.
pub(crate) fn borrowed(raw: &str) -> Option<Cow<'_, str>> {
    unescaped(raw).ok().or_else(|| text(raw).map(Cow::Owned))
}

/// A JSON string of whole characters, borrowed if there are no escapes in it.
pub(super) fn unescaped(raw: &str) -> serde_json::Result<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    let Text(text) = serde_json::from_str(raw)?;
    Ok(text)
}

/// Content as text: a string, null, or an array of parts whose texts are joined. `None` for anything else.
pub(super) fn content(raw: Option<&str>) -> Option<String> {
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(borrow, default)]
        text: Option<&'a RawValue>,
    }
    let raw = raw.unwrap_or("null");
    if raw == "null" {
        return Some(String::new());
    }
    if raw.starts_with('"') {
        return text(raw);
    }
    let parts: Vec<Part<'_>> = serde_json::from_str(raw).ok()?;
    parts.into_iter().map(|part| part.text.map_or(Some(String::new()), |raw| text(raw.get()))).collect()
}

/// What content says of the reasoning: Mistral's parts of the type `thinking`.
pub(super) fn thinking(raw: Option<&RawValue>) -> Option<String> {
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(borrow, default)]
        thinking: Option<&'a RawValue>,
    }
    let raw = raw?.get();
    if !raw.starts_with('[') {
        return None;
    }
    let parts: Vec<Part<'_>> = serde_json::from_str(raw).ok()?;
    let texts: String = parts.iter().filter_map(|part| content(part.thinking.map(RawValue::get))).collect();
    Some(texts).filter(|texts| !texts.is_empty())
}

/// Reasoning under either of its names, if it is text.
pub(super) fn reasoning(first: Option<&RawValue>, second: Option<&RawValue>) -> Option<String> {
    let text = |raw: Option<&RawValue>| text(raw?.get()).filter(|text| !text.is_empty());
    text(first).or_else(|| text(second))
}

/// Whether content is more than text, e.g. a list with pictures.
pub(super) fn has_more_than_text(raw: Option<&RawValue>) -> bool {
    let raw = raw.map_or("null", RawValue::get);
    !(raw == "null" || raw.starts_with('"') || serde_json::from_str::<Vec<TextPart>>(raw).is_ok())
}

/// A part that is text and nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextPart {
    #[serde(default, rename = "type")]
    _type: IgnoredAny,
    #[serde(rename = "text")]
    _text: String,
}

/// The first half of a character that was cut in two between two pieces of a stream, as servers do that count in UTF-16.
#[derive(Debug, Default)]
pub(crate) struct Half(Option<String>);

impl Half {
    /// The raw text of the next piece, with the half that was held before it and without one at its end.
    pub(crate) fn join<'a>(&mut self, raw: &'a str) -> Cow<'a, str> {
        if !raw.starts_with('"') {
            return Cow::Borrowed(raw);
        }
        let held = self.0.take();
        let end = raw.len().saturating_sub(ESCAPE + 1);
        let has_half = raw.len() > ESCAPE + 1 && raw.is_char_boundary(end) && is_lone_high(raw, end);
        if held.is_none() && !has_half {
            return Cow::Borrowed(raw);
        }
        let last = if has_half { end } else { raw.len() - 1 };
        self.0 = has_half.then(|| raw[end..raw.len() - 1].to_owned());
        Cow::Owned(format!("\"{}{}\"", held.unwrap_or_default(), &raw[1..last]))
    }
}

/// Bytes of an escaped half: a backslash, `u` and four digits.
const ESCAPE: usize = 6;

/// Whether a first half is written at this place, which is not that of an escaped backslash.
fn is_lone_high(raw: &str, place: usize) -> bool {
    let backslashes = raw[..place].bytes().rev().take_while(|byte| *byte == b'\\').count();
    backslashes % 2 == 0 && matches!(unit(raw, place), Some(0xD800..=0xDBFF))
}

/// The UTF-16 unit that is escaped at this place.
fn unit(raw: &str, place: usize) -> Option<u16> {
    let digits = raw.get(place..place + ESCAPE)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

/// The same JSON string with every lone half replaced.
fn without_halves(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut place = 0;
    while let Some(half) = lone_half(raw, place) {
        out.push_str(&raw[place..half]);
        out.push_str("\\ufffd");
        place = half + ESCAPE;
    }
    out.push_str(raw.get(place..).unwrap_or_default());
    out
}

/// Where the first lone half is written, from this place on, which is not within an escape.
fn lone_half(raw: &str, mut place: usize) -> Option<usize> {
    loop {
        place += memchr::memchr(b'\\', raw.as_bytes().get(place..)?)?;
        place += match (unit(raw, place), unit(raw, place + ESCAPE)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 2 * ESCAPE,
            (Some(0xD800..=0xDFFF), _) => return Some(place),
            // Two letters, because an escape is one of one letter; JSON has no others.
            _ => 2,
        };
    }
}

/// Whether a JSON value is a string of whole characters.
pub(super) fn is_whole_text(raw: &str) -> bool {
    raw.starts_with('"') && lone_half(raw, 0).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_character_costs_itself_and_no_answer() {
        for (raw, expected) in [
            (r#""a\ud83d\ude00b""#, Some("a\u{1f600}b")),
            (r#""a\ud83d""#, Some("a\u{fffd}")),
            (r#""\ude00\\ud83d\n""#, Some("\u{fffd}\\ud83d\n")),
            (r#""\ud83d\ud83d\ude00""#, Some("\u{fffd}\u{1f600}")),
            (r#""\ud8""#, None),
            ("5", None),
        ] {
            assert_eq!(text(raw).as_deref(), expected, "{raw}");
            if expected.is_some() {
                assert_eq!(is_whole_text(raw), serde_json::from_str::<String>(raw).is_ok(), "{raw}");
            }
        }
    }

    #[test]
    fn a_character_that_is_cut_in_two_is_whole_again() {
        let read = |pieces: &[&str]| {
            let mut half = Half::default();
            pieces.iter().map(|piece| text(&half.join(piece)).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(read(&[r#""a\ud83d""#, r#""\ude00b""#]), ["a", "\u{1f600}b"]);
        assert_eq!(read(&[r#""\ud83d""#, r#""\ude00""#, r#""c""#]), ["", "\u{1f600}", "c"]);
        assert_eq!(read(&[r#""\\ud83d""#, r#""b""#]), ["\\ud83d", "b"]);
        assert_eq!(read(&[r#""\ud83d""#, r#""b""#]), ["", "\u{fffd}b"]);
    }
}
