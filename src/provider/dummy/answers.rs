//! What the dummy says when it has no script: an echo, vectors that depend only on the text, shared words.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::options::MAX_DIMENSIONS;
use crate::error::{Failure, FailureClass};
use crate::kinds::{Completion, Embeddings, Kind, ModelResponse, Ranking};
use crate::provider::loose;

/// The answer to a request, in the kind's wire form, with its usage.
pub(super) fn unscripted(kind: &str, model: &str, body: &Value, dimensions: usize) -> Result<Value, Failure> {
    let value = match kind {
        Completion::NAME => echo(body).into(),
        ModelResponse::NAME => said(body).next_back().unwrap_or_default().into(),
        Embeddings::NAME => vectors(body, dimensions)?,
        Ranking::NAME => ranking(body),
        _ => body.clone(),
    };
    let whole = loose::whole(kind, model, value).map_err(|reason| Failure::new(FailureClass::Truncated, reason))?;
    Ok(with_usage(whole, kind, body))
}

/// Adds the usage that is missing: words stand for tokens, exactly and predictably.
pub(super) fn with_usage(mut whole: Value, kind: &str, body: &Value) -> Value {
    let prompt = match kind {
        Completion::NAME => messages(body).map(|message| words(&text_of(&message["content"]))).sum(),
        Embeddings::NAME => inputs(body).map(words).sum(),
        Ranking::NAME => documents(body).chain(body["query"].as_str()).map(words).sum::<usize>(),
        _ => 0,
    };
    if kind == ModelResponse::NAME {
        return with_response_usage(whole, body);
    }
    let answer: usize = match whole["choices"].as_array() {
        Some(choices) => choices.iter().map(|choice| words(&text_of(&choice["message"]["content"]))).sum(),
        None => 0,
    };
    if whole.is_object() && whole.get("usage").is_none() {
        whole["usage"] =
            json!({ "prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer });
    }
    whole
}

fn with_response_usage(mut whole: Value, body: &Value) -> Value {
    if !whole.is_object() || whole.get("usage").is_some() {
        return whole;
    }
    let prompt: usize = said(body).map(|text| words(&text)).sum();
    let items = whole["output"].as_array().map(Vec::as_slice).unwrap_or_default();
    let answer: usize = items.iter().map(|item| words(&text_of(&item["content"]))).sum();
    whole["usage"] = json!({ "input_tokens": prompt, "output_tokens": answer, "total_tokens": prompt + answer });
    whole
}

/// What a request of the Responses API says, text by text.
fn said(body: &Value) -> impl DoubleEndedIterator<Item = String> {
    let items = body["input"].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = items.iter().map(|item| match &item["output"] {
        Value::Null => text_of(&item["content"]),
        output => text_of(output),
    });
    let instructions = body["instructions"].as_str().map(str::to_owned);
    instructions
        .into_iter()
        .chain(texts.filter(|text| !text.is_empty()))
        .chain(body["input"].as_str().map(str::to_owned))
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn messages(body: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    body["messages"].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// Strings under a name, which may also be one string.
fn strings<'a>(body: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    let many = body[name].as_array().map(Vec::as_slice).unwrap_or_default();
    many.iter().filter_map(Value::as_str).chain(body[name].as_str())
}

fn inputs(body: &Value) -> impl Iterator<Item = &str> {
    strings(body, "input")
}

fn documents(body: &Value) -> impl Iterator<Item = &str> {
    strings(body, "documents")
}

/// Text of a content: itself, or its parts' texts.
fn text_of(content: &Value) -> String {
    let parts = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let parts = parts.iter().filter_map(|part| part["text"].as_str());
    content.as_str().into_iter().chain(parts).collect()
}

fn echo(body: &Value) -> String {
    messages(body).next_back().map(|message| text_of(&message["content"])).unwrap_or_default()
}

fn vectors(body: &Value, dimensions: usize) -> Result<Value, Failure> {
    let asked = body["dimensions"].as_u64().unwrap_or(dimensions as u64);
    match usize::try_from(asked) {
        Ok(length) if (1..=MAX_DIMENSIONS).contains(&asked) => {
            Ok(inputs(body).map(|text| unit_vector(text, length)).collect())
        }
        _ => Err(Failure::new(
            FailureClass::Rejected,
            format!("the dummy has from 1 to {MAX_DIMENSIONS} dimensions, not {asked}"),
        )),
    }
}

/// A vector of length 1 from the text's hash.
fn unit_vector(text: &str, length: usize) -> Value {
    let mut bytes = vec![0; length * 4];
    blake3::Hasher::new().update(text.as_bytes()).finalize_xof().fill(&mut bytes);
    let (numbers, _) = bytes.as_chunks::<4>();
    // Halves of odd numbers, so that no component and thus no norm is zero.
    let numbers: Vec<f64> = numbers.iter().map(|number| f64::from(i32::from_le_bytes(*number)) + 0.5).collect();
    let norm = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    #[allow(clippy::cast_possible_truncation, reason = "the wire's vectors are f32")]
    numbers.iter().map(|number| (number / norm) as f32).collect::<Vec<_>>().into()
}

/// The share of the query's words that a document has.
fn ranking(body: &Value) -> Value {
    let query = word_set(body["query"].as_str().unwrap_or_default());
    let scores = documents(body).map(|document| {
        #[allow(clippy::cast_precision_loss, reason = "counts of words")]
        let share = query.intersection(&word_set(document)).count() as f64 / query.len().max(1) as f64;
        share
    });
    let mut results: Vec<(usize, f64)> = scores.enumerate().collect();
    results.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
    results.into_iter().map(|(index, score)| json!({ "index": index, "relevance_score": score })).collect()
}

fn word_set(text: &str) -> HashSet<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}
