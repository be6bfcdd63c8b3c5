//! What a provider said about a failure: its message and its codes, from whatever shape the body has.

use serde_json::Value;

use crate::connections::{beginning, cut};
use crate::constants::MAX_ERROR_BODY_BYTES;
use crate::error::masked;

/// Most bytes of a message; the whole of what was said is kept beside it.
pub(super) const MAX_MESSAGE_BYTES: usize = 500;

/// How many bodies may stand in one another: a proxy's before a proxy's before a provider's.
const MAX_NESTED: usize = 4;

/// A failure in the provider's words.
#[derive(Default)]
pub(super) struct Words {
    /// One sentence, without keys; empty if nothing was said.
    pub(super) message: String,
    /// Every code, type, status word and reason, in lower case.
    pub(super) codes: Vec<String>,
    /// The field of the request that is to blame.
    pub(super) param: Option<String>,
    /// All the text there is to search, in lower case.
    pub(super) text: String,
    /// A status that the body itself names.
    pub(super) status: Option<u16>,
    /// The delay that Google's `RetryInfo` or Hugging Face's `estimated_time` asks for, in seconds.
    pub(super) retry_s: Option<f64>,
    /// The request's id, which Anthropic puts into the body too.
    pub(super) request_id: Option<String>,
    /// Whether it is HTML or XML.
    pub(super) is_page: bool,
}

impl Words {
    /// Reads a body of any form: JSON in any provider's shape, an HTML page, plain text, nothing. Of a body beyond 64 KiB,
    /// which no provider sends, the beginning is read as text.
    pub(super) fn read(body: &str) -> Self {
        Self::read_below(body, MAX_NESTED)
    }

    fn read_below(body: &str, depth: usize) -> Self {
        if body.len() > MAX_ERROR_BODY_BYTES {
            return Self::text(beginning(body, MAX_ERROR_BODY_BYTES));
        }
        match serde_json::from_str(body) {
            Ok(Value::Object(object)) => Self::of(&Value::Object(object), depth),
            // Gemini's streaming endpoint answers with a list of one.
            Ok(Value::Array(list)) => list.first().map(|first| Self::of(first, depth)).unwrap_or_default(),
            Ok(Value::String(text)) => Self::plain(&text),
            Ok(_) | Err(_) => Self::text(body),
        }
    }

    /// What is not JSON.
    fn text(body: &str) -> Self {
        let is_page = body.trim_start_matches('\u{feff}').trim_start().starts_with('<');
        Self { is_page, ..Self::plain(&page_title(body).unwrap_or_else(|| body.to_owned())) }
    }

    fn plain(text: &str) -> Self {
        Self { message: shorten(&masked(text)), text: text.to_lowercase(), ..Self::default() }
    }

    fn of(body: &Value, depth: usize) -> Self {
        let error = match &body["error"] {
            Value::Null => body.get("errors").and_then(|errors| errors.get(0)).unwrap_or(body),
            error => error,
        };
        let message = [error, body].into_iter().find_map(message).unwrap_or_else(|| error.to_string());
        // OpenRouter hides what the provider behind it said; LiteLLM lets it follow its own words.
        let hidden = error["metadata"]["raw"].as_str().map(|raw| (raw, &*message));
        let nested = hidden.or_else(|| quoted_body(&message)).filter(|_| depth > 0);
        let (nested, message) = match nested {
            Some((nested, before)) => (Self::read_below(nested, depth - 1), before.to_owned()),
            None => (Self::default(), message),
        };
        let message = if nested.message.is_empty() { message } else { format!("{message}: {}", nested.message) };
        let mut words = Self::plain(&message);
        words.text = format!("{} {}", words.text, nested.text);
        words.codes = nested.codes;
        words.param = nested.param.or_else(|| error["param"].as_str().map(str::to_owned));
        words.retry_s =
            nested.retry_s.or_else(|| [error, body].into_iter().find_map(|place| place["estimated_time"].as_f64()));
        for place in [error, body, &error["innererror"], &error["metadata"], &body["detail"]] {
            words.read_codes(place);
        }
        for detail in error["details"].as_array().into_iter().flatten() {
            words.read_codes(detail);
            words.retry_s = words.retry_s.or_else(|| detail["retryDelay"].as_str()?.strip_suffix('s')?.parse().ok());
            for violation in detail["violations"].as_array().into_iter().flatten() {
                words.read_codes(violation);
            }
        }
        words.request_id = [body, error].into_iter().find_map(|place| place["request_id"].as_str()).map(str::to_owned);
        words
    }

    /// Adds the codes that stand in this object, and its status if it is the first that names one.
    fn read_codes(&mut self, place: &Value) {
        for name in CODES {
            let text = match &place[name] {
                // AWS writes the namespace before it.
                Value::String(text) => text.rsplit('#').next().unwrap_or(text).to_lowercase(),
                Value::Number(number) => number.to_string(),
                _ => continue,
            };
            let status = text.parse().ok().filter(|status| (400..600).contains(status) && name != "type");
            self.status = self.status.or(status);
            self.codes.push(text);
        }
    }

    /// Whether one of these codes was given.
    pub(super) fn has_code(&self, codes: &[&str]) -> bool {
        self.codes.iter().any(|code| codes.contains(&code.as_str()))
    }

    /// Whether one of these phrases was said.
    pub(super) fn says(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.text.contains(phrase))
    }

    /// Whether one of these phrases was said by whoever speaks, and not only quoted.
    pub(super) fn says_itself(&self, phrases: &[&str]) -> bool {
        self.says(phrases) && {
            let text = unquoted(&self.text);
            phrases.iter().any(|phrase| text.contains(phrase))
        }
    }
}

/// The fields that hold codes.
const CODES: [&str; 10] = [
    "code",
    "type",
    "__type",
    "status",
    "reason",
    "error_type",
    "status_code",
    "statusCode",
    "quotaId",
    "limit_source",
];

/// The body of a provider that LiteLLM lets follow its own words (`... AnthropicException - {"type":"error", ...}`), and those
/// words. Nothing that stands in quotes: that may be the caller's.
fn quoted_body(message: &str) -> Option<(&str, &str)> {
    let (before, _) = message.split_once('{')?;
    let words = before.trim_end().strip_suffix('-')?.trim_end();
    let is_quoted = before.contains(['"', '\'', '`']);
    let body = message.get(before.len()..)?;
    let end = body.rfind('}')?;
    (words.ends_with("Exception") && !is_quoted).then_some((body.get(..=end)?, words))
}

/// The text without what stands in quotes: from the first that opens to the last of its kind that closes, because what is
/// quoted may hold quotes itself. An apostrophe inside a word neither opens nor closes.
fn unquoted(text: &str) -> String {
    let is_word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    let next = |from: usize| {
        let mut quotes = text[from..].match_indices(['"', '\'', '`']).map(|(place, quote)| (from + place, quote));
        quotes.find(|(place, _)| !is_word(text[..*place].chars().next_back()))
    };
    while let Some((start, quote)) = next(at) {
        out.push_str(&text[at..start]);
        let inside = &text[start + 1..];
        let mut ends = inside.rmatch_indices(quote).map(|(place, _)| start + 1 + place + 1);
        at = ends.find(|end| !is_word(text[*end..].chars().next())).unwrap_or(text.len());
    }
    out.push_str(&text[at..]);
    out
}

/// The message in an object: the words that providers use for it, in the order of how much they say.
fn message(place: &Value) -> Option<String> {
    let said = ["message", "detail", "msg", "title", "error_description", "error"].iter().find_map(|name| {
        let value = &place[*name];
        match value {
            Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
            Value::Array(list) => Some(list.iter().filter_map(problem).collect::<Vec<_>>().join("; ")),
            Value::Object(_) => message(value),
            _ => None,
        }
    });
    said.or_else(|| place.as_str().map(str::to_owned)).filter(|text| !text.is_empty())
}

/// One entry of `FastAPI`'s list of problems: where, and what.
fn problem(entry: &Value) -> Option<String> {
    let what = message(entry)?;
    let place = entry["loc"].as_array().map(|path| {
        let names = path.iter().map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned));
        names.collect::<Vec<_>>().join(".")
    });
    Some(place.map_or_else(|| what.clone(), |place| format!("{place}: {what}")))
}

/// The title of an HTML page.
fn page_title(body: &str) -> Option<String> {
    // Lower case is as long only in ASCII, which is all that tags are made of.
    let lower = body.to_ascii_lowercase();
    let (_, rest) = lower.trim_start().starts_with('<').then(|| lower.split_once("<title"))??;
    let (_, rest) = rest.split_once('>')?;
    let (title, _) = rest.split_once("</title")?;
    let start = lower.len() - rest.len();
    body.get(start..start + title.len()).map(str::to_owned).filter(|title| !title.trim().is_empty())
}

/// One line of at most [`MAX_MESSAGE_BYTES`].
pub(super) fn shorten(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > MAX_MESSAGE_BYTES {
            cut(&mut line, MAX_MESSAGE_BYTES - 3);
            return line + "...";
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_found_in_every_shape() {
        let table = [
            (r#"{"error":{"message":"a","type":"t"}}"#, "a"),
            (r#"{"error":"a"}"#, "a"),
            (r#"{"message":"a"}"#, "a"),
            (r#"{"detail":"a"}"#, "a"),
            (r#"{"detail":{"error":{"message":"a"}}}"#, "a"),
            (r#"{"detail":[{"loc":["body","messages",0],"msg":"a","type":"t"},{"msg":"b"}]}"#, "body.messages.0: a; b"),
            (r#"{"errors":[{"code":1,"message":"a"}]}"#, "a"),
            (r#"{"errors":["a"]}"#, "a"),
            (r#"[{"error":{"code":400,"message":"a"}}]"#, "a"),
            (r#"{"object":"error","message":"a","code":400}"#, "a"),
            (
                r#"{"error":{"message":"Provider returned error","metadata":{"raw":"{\"error\":\"a\"}"}}}"#,
                "Provider returned error: a",
            ),
            (r#""a""#, "a"),
            ("a\n  b", "a b"),
            ("<html>\n<head><TITLE>502\nBad Gateway</TITLE></head>", "502 Bad Gateway"),
            ("<!DOCTYPE html><p>\u{130}</p><title lang=en>\u{e9}</title>", "\u{e9}"),
            ("<b>no title</b>", "<b>no title</b>"),
            (r#"{"error":{"code":7}}"#, r#"{"code":7}"#),
            ("{}", "{}"),
            ("null", "null"),
            ("[]", ""),
            ("", ""),
        ];
        for (body, expected) in table {
            assert_eq!(Words::read(body).message, expected, "{body}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let message = Words::read(&"\u{20ac}".repeat(400)).message;
        assert!(message.len() <= MAX_MESSAGE_BYTES && message.ends_with("\u{20ac}..."), "{message}");
    }
}
