//! Takes what looks like a key out of a text: providers echo the key that they refuse, some of them whole.

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

/// Names of parameters of a URL whose values are secrets, whatever they look like.
const PARAMETERS: [&str; 17] = [
    "key",
    "api_key",
    "api-key",
    "apikey",
    "access_token",
    "auth_token",
    "token",
    "sig",
    "signature",
    "secret",
    "client_secret",
    "password",
    "code",
    "subscription-key",
    "x-amz-signature",
    "x-amz-security-token",
    "x-goog-signature",
];

/// Shorter values of parameters are words, or masked already.
const LEAST_VALUE: usize = 8;

/// Most characters that are looked at to tell a key from a word.
const TELLING: usize = 256;

/// The text with everything that looks like a key cut to its first three characters.
pub(crate) fn masked(text: &str) -> String {
    let text = &without_parameters(text);
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

/// The text with the secret parameters of URLs cut to their first three characters.
fn without_parameters(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        masked.push_str(before);
        let is_secret = ends_with_parameter(&masked);
        masked.push('=');
        let value = after.get(..run(after.as_bytes(), is_in_value)).unwrap_or_default().trim_end_matches(['.', ':']);
        rest = after;
        if is_secret && value.len() >= LEAST_VALUE {
            masked.push_str(value.get(..3).unwrap_or_default());
            masked.push_str("***");
            rest = after.get(value.len()..).unwrap_or_default();
        }
    }
    masked.push_str(rest);
    masked
}

/// Whether a text ends with the name of a secret parameter, and with what stands before one in a URL.
fn ends_with_parameter(text: &str) -> bool {
    let is_in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    let length = text.bytes().rev().take_while(is_in_name).count();
    let Some((before, name)) = text.split_at_checked(text.len() - length) else { return false };
    let name = name.to_ascii_lowercase();
    // In JSON some write `&` as `\u0026`, and in pages it is `&amp;`.
    let name = if before.ends_with('\\') { name.strip_prefix("u0026").unwrap_or_default() } else { &name };
    before.ends_with(['?', '&', ';', '\\']) && PARAMETERS.contains(&name)
}

fn is_in_value(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"&;#,\"'`<>()[]{}\\".contains(&byte)
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
            (
                "GET https://x.example/v1?key=AIzaSyA1234567890abcdefghij: 403",
                "GET https://x.example/v1?key=AIz***: 403",
            ),
            ("https://x.example/?a=1&api_key=hunterhunter&b=2", "https://x.example/?a=1&api_key=hun***&b=2"),
            ("https://x.example/?access_token=-_bcdefgh.ijk.", "https://x.example/?access_token=-_b***."),
            ("(https://x.example/?sv=2024&sig=ab%2Bcdefgh%3D)", "(https://x.example/?sv=2024&sig=ab%***)"),
            ("https://x.example/?alt=sse\\u0026Key=hunterhunter\"", "https://x.example/?alt=sse\\u0026Key=hun***\""),
            ("/?x&amp;token=hunterhunter", "/?x&amp;token=hun***"),
            ("/?X-Amz-Signature=deadbeefdeadbeef", "/?X-Amz-Signature=dea***"),
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
            "https://x.example/?key=id&monkey=chimpanzee&sigma=0.123456789&q=key=",
            "a = b; token = c",
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

    #[test]
    fn what_is_masked_stays_as_it_is_when_it_is_masked_again() {
        for text in
            ["?key=AIzaSyA1234567890abcdefghij&sig=abcdefghijkl", "key provided: sk-proj-abcdefgh", "sk-12345678/y"]
        {
            let once = masked(text);
            assert_ne!(once, text);
            assert_eq!(masked(&once), once);
        }
    }

    proptest! {
        #[test]
        fn no_secret_parameter_survives_wherever_it_stands(before in ".{0,20}", key in "[A-Za-z0-9_-]{12,60}", after in "(&.{0,20})?") {
            let text = format!("{before}?key={key}{after}");
            prop_assert!(!masked(&text).contains(&key));
        }

        #[test]
        fn no_key_survives_wherever_it_stands(before in ".{0,20}", key in "[A-Za-z0-9]{20,60}", after in ".{0,20}") {
            let text = format!("{before} sk-{key} {after}");
            prop_assert!(!masked(&text).contains(&key));
        }
    }
}
