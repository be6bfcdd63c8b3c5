//! Answers of each kind as bodies: as the provider wrote them where there is one text, in OpenAI's shape where there is not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ask::Ask;
use crate::kinds::{Body, Completion, Embeddings, FILTERED, ModelResponse, Ranking};
use crate::route::Answer;

/// The provider's own answer; with the usage that was counted here if it has none.
pub(super) fn completion(answer: &Answer<Completion>) -> String {
    let text = own(answer.raw(), answer.usage().estimated.then(|| answer.usage().wire()));
    if answer.finish_reason == FILTERED { with_messages(&text).unwrap_or(text) } else { text }
}

/// The same with a message in every choice, which clients look into, and which some providers leave out where a filter has
/// left nothing to say.
fn with_messages(text: &str) -> Option<String> {
    let mut body = Body::parse(text).ok()?;
    let mut choices: Vec<Body> = body.read("choices", "").ok()??;
    for choice in choices.iter_mut().filter(|choice| choice.get("message").is_none_or(|raw| raw == "null")) {
        choice.set("message", &json!({ "role": "assistant", "content": null }));
    }
    body.set("choices", &choices);
    Some(String::from_utf8_lossy(&body.write(&[])).into_owned())
}

/// The same of a model response.
pub(super) fn response(answer: &Answer<ModelResponse>) -> String {
    own(answer.raw(), answer.usage().estimated.then(|| answer.usage().response_wire()))
}

fn own(raw: &[u8], counted: Option<Value>) -> String {
    let text = String::from_utf8_lossy(raw).into_owned();
    let Some(usage) = counted else { return text };
    let Ok(body) = Body::parse(&text) else { return text };
    String::from_utf8_lossy(&with_usage(body, &usage).write(&[])).into_owned()
}

/// The same with this usage; what the provider has in its own beside it stays.
pub(super) fn with_usage(mut body: Body, usage: &Value) -> Body {
    let mut all: Body = body.read("usage", "").ok().flatten().unwrap_or_default();
    for (name, value) in usage.as_object().into_iter().flatten() {
        all.set(name, value);
    }
    body.set("usage", &all);
    body
}

pub(super) fn embeddings(answer: &Answer<Embeddings>, ask: &Ask) -> String {
    let dimensions = answer.vectors().first().map_or(0, Vec::len);
    let mut body = Vec::with_capacity(answer.vectors().len() * (dimensions * 12 + 64) + 256);
    body.extend_from_slice(br#"{"object":"list","data":["#);
    for (index, vector) in answer.vectors().iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        body.extend_from_slice(format!(r#"{comma}{{"object":"embedding","index":{index},"embedding":"#).as_bytes());
        if ask.shows_numbers {
            serde_json::to_writer(&mut body, vector).expect("a vector takes every byte");
        } else {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            body.push(b'"');
            body.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            body.push(b'"');
        }
        body.push(b'}');
    }
    let usage = answer.usage();
    let usage = json!({ "prompt_tokens": usage.prompt_tokens, "total_tokens": usage.total_tokens });
    body.extend_from_slice(format!(r#"],"model":{},"usage":{usage}}}"#, json!(answer.model())).as_bytes());
    String::from_utf8_lossy(&body).into_owned()
}

/// What Cohere, Jina and Voyage have in common: `index` and `relevance_score`, best first.
pub(super) fn ranking(answer: &Answer<Ranking>, ask: &Ask) -> String {
    let results = answer.results().iter().map(|ranked| {
        let mut result = json!({ "index": ranked.index, "relevance_score": ranked.score });
        if let Some(document) = ask.documents.as_ref().and_then(|documents| documents.get(ranked.index)) {
            let document: serde_json::Value = serde_json::from_str(document.get()).unwrap_or_default();
            result["document"] = if document.is_string() { json!({ "text": document }) } else { document };
        }
        result
    });
    let (results, usage) = (results.collect::<Vec<_>>(), answer.usage());
    let usage = json!({ "prompt_tokens": usage.prompt_tokens, "total_tokens": usage.total_tokens });
    json!({ "object": "list", "model": answer.model(), "results": results, "usage": usage }).to_string()
}
