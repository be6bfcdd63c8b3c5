//! What a body asks for: the group, how the answer is to come, and the request itself.

use serde_json::value::RawValue;

use super::refusal::Refusal;
use crate::error::Invalid;
use crate::kinds::{Body, Completion, Embeddings, Kind, ModelResponse, Ranking};

/// Most levels of nesting: what JSON readers commonly take.
const MAX_DEPTH: usize = 128;

/// A body that was read.
#[derive(Debug)]
pub struct Ask {
    /// `model` in the body.
    pub group: String,
    /// Whether the answer is to come piece by piece.
    pub is_stream: bool,
    /// Whether a stream says at its end what it took.
    pub shows_usage: bool,
    /// Whether vectors are to be numbers, and not their bytes.
    pub shows_numbers: bool,
    /// Documents that the answer is to repeat.
    pub documents: Option<Vec<Box<RawValue>>>,
    /// All of it, to be taken by a kind.
    pub body: Body,
}

impl Ask {
    /// Reads the body of a request of this kind.
    ///
    /// # Errors
    /// 400 for what is not a JSON object, or has no group in it, and for what is this module's own in it.
    pub fn read<K: Kind>(body: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(body).map_err(|_| Refusal::request("the body is not UTF-8"))?;
        let mut body = parse(text.trim_start_matches('\u{feff}'))?;
        let group = match body.get("model") {
            None => return Err(Refusal::field("model", "a request names its model: a group")),
            Some(raw) => serde_json::from_str(raw)
                .map_err(|_| Refusal::field("model", "model: expected a string, the name of a group"))?,
        };
        let is_stream = flag(&body, "stream")? && [Completion::NAME, ModelResponse::NAME].contains(&K::NAME);
        let options = body.read::<Body>("stream_options", "an object").map_err(Refusal::from)?.unwrap_or_default();
        let format = body.read::<String>("encoding_format", "a string").map_err(Refusal::from)?;
        let shows_numbers = match format.as_deref().filter(|_| K::NAME == Embeddings::NAME) {
            None | Some("float") => true,
            Some("base64") => false,
            Some(_) => return Err(Refusal::field("encoding_format", "encoding_format: expected float or base64")),
        };
        // Whether they are documents, is for the kind to say.
        let documents = flag(&body, "return_documents")?.then(|| body.read("documents", "").ok().flatten()).flatten();
        if K::NAME == Ranking::NAME {
            // They are repeated here; not every provider takes the field, and none needs it.
            body.remove("return_documents");
        }
        let shows_usage = options.read("include_usage", "true or false");
        let shows_usage = shows_usage.map_err(|Invalid { field, .. }| {
            let field = field.replacen("request.", "stream_options.", 1);
            Refusal::field(&field, format!("{field}: expected true or false"))
        })?;
        let shows_usage = shows_usage.unwrap_or(false);
        Ok(Self { group, is_stream, shows_usage, shows_numbers, documents, body })
    }
}

fn flag(body: &Body, name: &str) -> Result<bool, Refusal> {
    Ok(body.read(name, "true or false").map_err(Refusal::from)?.unwrap_or(false))
}

fn parse(text: &str) -> Result<Body, Refusal> {
    if is_deeper(text, MAX_DEPTH) {
        return Err(Refusal::request(format!("the body is nested deeper than {MAX_DEPTH} levels")));
    }
    match (Body::parse(text), text.trim_start().bytes().next()) {
        (Ok(body), _) => Ok(body),
        (Err(_), None) => Err(Refusal::request("the body is empty: expected a JSON object")),
        // Serde's message has the beginning of what it met, whatever that is.
        (Err(_), Some(b'{')) => Err(Refusal::request("the body is not JSON")),
        (Err(_), Some(b'[')) => Err(Refusal::request("the body is an array: expected a JSON object")),
        (Err(_), Some(_)) => Err(Refusal::request("the body is not a JSON object")),
    }
}

/// Whether brackets are open in more levels than these, whatever else is wrong with the text.
fn is_deeper(text: &str, limit: usize) -> bool {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'{' | b'[' if !is_string => depth += 1,
            b'}' | b']' if !is_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Response;

    fn refused(body: &[u8]) -> (u16, String) {
        let response = Response::from(Ask::read::<Completion>(body).unwrap_err());
        (response.head.status, response.body)
    }

    #[test]
    fn what_is_no_request_is_said_to_be_none() {
        let deep = format!("{{\"model\":\"a\",\"x\":{}1{}}}", "[".repeat(128), "]".repeat(128));
        for (body, words) in [
            (&b""[..], "empty"),
            (b"{", "not JSON"),
            (b"[]", "array"),
            (b"hi", "object"),
            (b"\xff", "UTF-8"),
            (b"{}", "names its model"),
            (b"{\"model\":null}", "names its model"),
            (b"{\"model\":7}", "expected a string"),
            (b"{\"model\":\"a\",\"stream\":1}", "true or false"),
            (deep.as_bytes(), "nested deeper"),
        ] {
            let (status, text) = refused(body);
            assert_eq!(status, 400);
            assert!(text.contains(words) && text.contains("invalid_request_error"), "{text}");
        }
    }

    #[test]
    fn brackets_in_text_are_no_levels() {
        let body = format!(r#"{{"model":"a","x":"\"{}"}}"#, "[".repeat(500));
        assert!(Ask::read::<Completion>(body.as_bytes()).is_ok());
    }

    #[test]
    fn how_the_answer_is_to_come_is_read() {
        let ask = Ask::read::<Completion>(br#"{"model":"a","stream":true,"stream_options":{"include_usage":true}}"#);
        let ask = ask.unwrap();
        assert!((ask.group.as_str(), ask.is_stream, ask.shows_usage) == ("a", true, true));
        assert!(!Ask::read::<Ranking>(br#"{"model":"a","stream":true}"#).unwrap().is_stream);
        let embed = |format: &str| Ask::read::<Embeddings>(format!(r#"{{"model":"a"{format}}}"#).as_bytes());
        assert!(embed("").unwrap().shows_numbers);
        assert!(!embed(r#","encoding_format":"base64""#).unwrap().shows_numbers);
        assert_eq!(embed(r#","encoding_format":"int8""#).unwrap_err().status, 400);
        let ask = Ask::read::<Ranking>(br#"{"model":"a","return_documents":true,"documents":["x"]}"#).unwrap();
        assert_eq!(ask.documents.unwrap()[0].get(), "\"x\"");
    }
}
