//! Rerank: Cohere's second wire form, which most others resemble; the rest is mapped by the providers.

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::checks::{positive, required_string, required_strings};
use super::wire::{object, unreadable, usage};
use super::{Body, Kind, Prompt, Usage};
use crate::error::{Failure, Invalid};

/// `query`, `documents` and, if given, `top_n`; checked.
///
/// ```
/// use thryd::kinds::RerankRequest;
/// let request = RerankRequest::new("What is red?", ["a tomato", "the sky"]).set("top_n", 1);
/// assert_eq!(request.as_ref().get("query"), Some("\"What is red?\""));
/// ```
#[derive(Clone, Debug)]
pub struct RerankRequest {
    body: Body,
}

impl AsRef<Body> for RerankRequest {
    fn as_ref(&self) -> &Body {
        &self.body
    }
}

impl RerankRequest {
    /// Ranks these documents by how well they answer the query.
    #[must_use]
    pub fn new<T: Into<String>>(query: impl Into<String>, documents: impl IntoIterator<Item = T>) -> Self {
        let mut body = Body::new();
        body.set("query", &query.into());
        body.set("documents", &documents.into_iter().map(Into::into).collect::<Vec<String>>());
        Self { body }
    }

    /// The same request with a further field of the body, e.g. `top_n`.
    ///
    /// # Panics
    /// If the value does not serialise, which plain data always does.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Serialize) -> Self {
        self.body.set(name, &value);
        self
    }

    fn read<'a, T: Deserialize<'a> + Default>(&'a self, name: &str) -> T {
        self.body.get(name).and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default()
    }
}

/// One document's place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// Index of the document in the request.
    pub index: usize,
    /// How relevant it is; larger is better. The scale is the model's.
    pub score: f64,
}

/// Documents by relevance.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    results: Vec<Ranked>,
    model: String,
    usage: Option<Usage>,
}

impl Ranking {
    /// Best first; equal scores in the order of the documents.
    #[must_use]
    pub fn results(&self) -> &[Ranked] {
        &self.results
    }

    /// Reads the wire form. With a request's number of documents, each index must be one of theirs.
    fn parse(raw: &[u8], documents: Option<usize>, top_n: Option<usize>) -> Result<Self, String> {
        let answer: Answer<'_> = object(raw)?;
        let mut seen = HashSet::new();
        let mut results = Vec::with_capacity(answer.results.len());
        for Item { index, relevance_score: score } in answer.results {
            let index = usize::try_from(index).ok().filter(|index| documents.is_none_or(|count| *index < count));
            let index = index.ok_or("an index of its results is not a document's")?;
            if !seen.insert(index) {
                return Err(format!("index {index} stands twice"));
            }
            results.push(Ranked { index, score });
        }
        if results.is_empty() {
            return Err("it has no results".to_owned());
        }
        results.sort_by(|left, right| right.score.total_cmp(&left.score).then(left.index.cmp(&right.index)));
        results.truncate(top_n.unwrap_or(usize::MAX));
        let usage = usage(answer.usage).or_else(|| counted_by_cohere(answer.meta));
        Ok(Self { results, model: answer.model.unwrap_or_default().into_owned(), usage })
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    results: Vec<Item>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item {
    index: u64,
    relevance_score: f64,
}

/// Tokens in Cohere's `meta`, where it counts them: most answers only count search units, which are not tokens.
fn counted_by_cohere(meta: Option<&RawValue>) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Meta {
        tokens: Tokens,
    }
    #[derive(Deserialize)]
    struct Tokens {
        input_tokens: u64,
    }
    let Meta { tokens: Tokens { input_tokens } } = serde_json::from_str(meta?.get()).ok()?;
    Some(Usage { prompt_tokens: input_tokens, total_tokens: input_tokens, ..Usage::default() })
}

impl Kind for Ranking {
    type Request = RerankRequest;

    const NAME: &'static str = "rerank";
    const PATH: &'static str = "/rerank";

    fn request(mut body: Body) -> Result<RerankRequest, Invalid> {
        body.drop_nulls();
        for name in ["model", "stream"] {
            body.remove(name);
        }
        required_string(&body, "query")?;
        required_strings(&body, "documents", true)?;
        positive(&body, "top_n")?;
        Ok(RerankRequest { body })
    }

    fn read(answer: &Bytes, request: &RerankRequest) -> Result<Self, Failure> {
        let documents: Vec<&RawValue> = request.read("documents");
        let top_n: Option<usize> = request.read("top_n");
        Self::parse(answer, Some(documents.len()), top_n).map_err(|reason| unreadable(reason, answer))
    }

    fn store(&self) -> Bytes {
        let results =
            self.results.iter().map(|ranked| json!({ "index": ranked.index, "relevance_score": ranked.score }));
        let mut record = json!({ "results": results.collect::<Vec<_>>(), "model": self.model });
        // What was estimated is estimated again when it is read.
        if let Some(usage) = self.usage.filter(|usage| !usage.estimated) {
            record["usage"] = json!({
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.total_tokens,
            });
        }
        record.to_string().into()
    }

    fn load(stored: &Bytes) -> Option<Self> {
        Self::parse(stored, None, None).ok()
    }

    fn is_storable(&self) -> bool {
        !self.results.is_empty()
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    fn set_usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    /// The documents, and the query once: models read it beside each document, but not all bill it so.
    fn prompt(request: &RerankRequest) -> Prompt<'_> {
        let mut texts: Vec<String> = request.read("documents");
        texts.push(request.read("query"));
        Prompt { texts: texts.into_iter().map(Into::into).collect(), completion: Some(0), ..Prompt::default() }
    }

    fn join(mut parts: Vec<Self>) -> Self {
        parts.swap_remove(0)
    }
}
