//! What a provider said about a failure: its message and its codes, from whatever shape the body has.

use serde_json::Value;

use crate::connections::cut;

/// Most bytes of a message; the whole of what was said is kept beside it.
pub(super) const MAX_MESSAGE_BYTES: usize = 500;

/// A failure in the provider's words.
#[derive(Default)]
pub(super) struct Words {
    /// One sentence, without keys; empty if nothing was said.
    pub(super) message: String,
    /// Every code, type, status word and reason, in lower case.
    pub(super) codes: Vec<String>,
    /// All the text there is to search, in lower case.
    pub(super) text: String,
    /// A status that the body itself names.
    pub(super) status: Option<u16>,
    /// The delay that Google's `RetryInfo` asks for, in seconds.
    pub(super) retry_s: Option<f64>,
    /// The request's id, which Anthropic puts into the body too.
    pub(super) request_id: Option<String>,
}

impl Words {
    /// Reads a body of any form: JSON in any provider's shape, an HTML page, plain text, nothing.
    pub(super) fn read(body: &str) -> Self {
        match serde_json::from_str(body) {
            Ok(Value::Object(object)) => Self::of(&Value::Object(object)),
            // Gemini's streaming endpoint answers with a list of one.
            Ok(Value::Array(list)) => list.first().map(Self::of).unwrap_or_default(),
            Ok(Value::String(text)) => Self::plain(&text),
            Ok(_) | Err(_) => Self::plain(&page_title(body).unwrap_or_else(|| body.to_owned())),
        }
    }

    fn plain(text: &str) -> Self {
        Self { message: shorten(&masked(text)), text: text.to_lowercase(), ..Self::default() }
    }

    fn of(body: &Value) -> Self {
        let error = match &body["error"] {
            Value::Null => body.get("errors").and_then(|errors| errors.get(0)).unwrap_or(body),
            error => error,
        };
        let message = [error, body].into_iter().find_map(message).unwrap_or_else(|| error.to_string());
        // OpenRouter hides what the provider behind it said, LiteLLM and others nest a second body as text.
        let nested = error["metadata"]["raw"].as_str().map(Self::read).unwrap_or_default();
        let message = if nested.message.is_empty() { message } else { format!("{message}: {}", nested.message) };
        let mut words = Self::plain(&message);
        words.text = format!("{} {}", words.text, nested.text);
        words.codes = nested.codes;
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
        for name in ["code", "type", "status", "reason", "error_type", "status_code", "statusCode", "quotaId"] {
            let text = match &place[name] {
                Value::String(text) => text.to_lowercase(),
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
fn shorten(text: &str) -> String {
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

/// How keys begin, and how many characters must follow for it to be one.
const PREFIXES: [(&str, usize); 16] = [
    ("sk-", 4),
    ("sk_", 8),
    ("pk-", 16),
    ("pk_", 16),
    ("gsk_", 8),
    ("xai-", 16),
    ("aiza", 16),
    ("hf_", 8),
    ("r8_", 16),
    ("pplx-", 8),
    ("fw_", 16),
    ("tgp_", 16),
    ("jina_", 16),
    ("csk-", 8),
    ("pa-", 24),
    ("eyj", 24),
];

/// What goes before a key, and how many characters make it one; below that it is a word.
const INTRODUCTIONS: [(&str, usize); 7] = [
    ("key provided", 4),
    ("key", 20),
    ("token", 20),
    ("api_key", 16),
    ("api-key", 16),
    ("bearer", 16),
    ("authorization", 16),
];

/// Most characters that are looked at to tell a key from a word.
const TELLING: usize = 256;

/// The text with everything that looks like a key cut to its first three characters: providers echo the key that they
/// refuse, some of them whole.
pub(super) fn masked(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut masked = String::with_capacity(text.len());
    let (mut written, mut place) = (0, 0);
    while let Some(start) = lower.get(place..).and_then(|rest| rest.find(is_key_start)).map(|at| place + at) {
        let (before, rest) = lower.split_at(start);
        let telling = run(rest.as_bytes().get(..TELLING).unwrap_or(rest.as_bytes()), is_in_key);
        let word = rest.get(..telling).unwrap_or_default();
        let begins = |(prefix, least): &(&str, usize)| word.starts_with(prefix) && word.len() >= prefix.len() + least;
        if PREFIXES.iter().any(begins) || is_introduced(before, word) {
            let key = rest.get(..run(rest.as_bytes(), is_in_key)).unwrap_or_default().trim_end_matches(['.', '=', '/']);
            masked.push_str(text.get(written..start + key.len().min(3)).unwrap_or_default());
            masked.push_str("***");
            written = start + key.len();
            place = written;
        } else {
            // A key may begin at any further word inside, as in a path or after a hyphen.
            place = start + run(rest.as_bytes(), |byte| byte.is_ascii_alphanumeric() || byte == b'*');
        }
    }
    masked.push_str(text.get(written..).unwrap_or_default());
    masked
}

fn is_key_start(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '*'
}

fn is_in_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"*-_./+=~".contains(&byte)
}

/// How many bytes from the start are of this sort.
fn run(bytes: &[u8], is_of_sort: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !is_of_sort(*byte)).unwrap_or(bytes.len())
}

/// Whether the text before a word says that the word is a key.
fn is_introduced(before: &str, word: &str) -> bool {
    let before = before.trim_end_matches([' ', '"', '\'', '`', '\\', '<', '(', '[', ':', '=']);
    let looks_random = word.bytes().any(|byte| byte.is_ascii_digit() || byte == b'*');
    INTRODUCTIONS.iter().any(|(introduction, least)| {
        before.ends_with(introduction) && word.len() >= *least && (looks_random || *introduction == "key provided")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn what_looks_like_a_key_is_masked() {
        let table = [
            (
                "Incorrect API key provided: sk-proj-****wxyz. You can find",
                "Incorrect API key provided: sk-***. You can find",
            ),
            ("Incorrect API key provided: hunterhunter", "Incorrect API key provided: hun***"),
            (r#"{"authorization":"Bearer abcdefgh12345678"}"#, r#"{"authorization":"Bearer abc***"}"#),
            (r#"{"api_key": "0123456789abcdef0123"}"#, r#"{"api_key": "012***"}"#),
            ("key=AIzaSyA1234567890abcdefghij&alt=sse", "key=AIz***&alt=sse"),
            ("at https://x.example/sk-12345678/y", "at https://x.example/sk-***"),
            ("gsk_abcdefgh1234, xai-0123456789abcdefgh", "gsk***, xai***"),
            ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "Bearer eyJ***"),
        ];
        for (text, expected) in table {
            assert_eq!(masked(text), expected);
        }
        let harmless = [
            "API key not valid. Please pass a valid API key.",
            "Bearer authentication required",
            "the task-force is at risk-free desk-top",
            "req_011CSHoEeqs5C35K2UUqR7Fy of gpt-4o-mini-2024-07-18 in org-abc",
            "Invalid key: response_format",
            "caf\u{e9} \u{1f600} ***",
        ];
        for text in harmless {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn a_long_body_of_hyphens_is_masked_in_time_that_grows_with_its_length() {
        let long = "a-".repeat(1 << 15);
        assert_eq!(masked(&long), long);
        assert_eq!(masked(&format!("sk-{long}")), "sk-***");
    }

    proptest! {
        #[test]
        fn no_key_survives_wherever_it_stands(before in ".{0,20}", key in "[A-Za-z0-9]{20,60}", after in ".{0,20}") {
            let text = format!("{before} sk-{key} {after}");
            prop_assert!(!masked(&text).contains(&key));
            prop_assert!(!Words::read(&text).message.contains(&key));
        }
    }
}
