//! Rerank as each provider shapes it: one table, and the mapping to and from the kind's wire form (Cohere's second).

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::constants::MAX_ERROR_BODY_BYTES;
use crate::error::{Failure, FailureClass};
use crate::kinds::Body;

/// Where one provider's rerank departs from the wire form.
#[derive(Debug)]
pub(super) struct RerankShape {
    /// Below the base URL.
    pub path: &'static str,
    /// Whether the body names the model.
    pub has_model: bool,
    /// What it calls `documents`.
    pub documents: &'static str,
    /// What it calls `top_n`; `None` if it always ranks all.
    pub top: Option<&'static str>,
    /// The field that keeps documents out of the answer, where the default is to repeat them.
    pub echo: Option<&'static str>,
    /// The field that holds the results; `None` if the answer is the array itself.
    pub results: Option<&'static str>,
    /// What it calls `relevance_score`.
    pub score: &'static str,
}

/// Cohere's wire form below a base URL that ends in the version: vLLM, `OpenRouter` and most servers of their own.
pub(super) const COHERE: RerankShape = RerankShape {
    path: "/rerank",
    has_model: true,
    documents: "documents",
    top: Some("top_n"),
    echo: None,
    results: Some("results"),
    score: "relevance_score",
};

/// Cohere itself, <https://docs.cohere.com/reference/rerank>.
pub(super) const COHERE_ITSELF: RerankShape = RerankShape { path: "/v2/rerank", ..COHERE };

/// <https://api.jina.ai/redoc#tag/rerank>: repeats the documents unless told not to.
pub(super) const JINA: RerankShape = RerankShape { echo: Some("return_documents"), ..COHERE };

/// <https://docs.together.ai/reference/rerank>.
pub(super) const TOGETHER: RerankShape = RerankShape { echo: Some("return_documents"), ..COHERE };

/// <https://docs.fireworks.ai/api-reference/rerank-documents>.
pub(super) const FIREWORKS: RerankShape =
    RerankShape { echo: Some("return_documents"), results: Some("data"), ..COHERE };

/// <https://docs.voyageai.com/reference/reranker-api>.
pub(super) const VOYAGE: RerankShape =
    RerankShape { top: Some("top_k"), echo: Some("return_documents"), results: Some("data"), ..COHERE };

/// Hugging Face's Text Embeddings Inference, <https://huggingface.github.io/text-embeddings-inference>.
pub(super) const TEI: RerankShape = RerankShape {
    path: "/rerank",
    has_model: false,
    documents: "texts",
    top: None,
    echo: Some("return_text"),
    results: None,
    score: "score",
};

impl RerankShape {
    /// The request in this shape.
    pub fn write(&self, body: &Body, model: &str) -> Bytes {
        let mut body = body.clone();
        body.rename("documents", self.documents);
        match self.top {
            Some(name) => body.rename("top_n", name),
            None => drop(body.remove("top_n")),
        }
        if let Some(name) = self.echo {
            body.set(name, &false);
        }
        if self.has_model { body.write(&[("model", model)]) } else { body.write(&[]) }
    }

    /// The answer in the wire form.
    pub fn read(&self, answer: &Bytes) -> Result<Bytes, Failure> {
        // Already in the wire form.
        if self.results == Some("results") && self.score == "relevance_score" {
            return Ok(answer.clone());
        }
        self.convert(answer).map_err(|reason| {
            let shown = &answer[..answer.len().min(MAX_ERROR_BODY_BYTES)];
            let mut failure = Failure::new(FailureClass::Truncated, format!("the answer is not a ranking: {reason}"));
            failure.body = Some(String::from_utf8_lossy(shown).into_owned());
            failure
        })
    }

    fn convert(&self, answer: &Bytes) -> Result<Bytes, String> {
        let text = std::str::from_utf8(answer).map_err(|error| error.to_string())?;
        let (mut out, results) = match self.results {
            Some(name) => {
                let mut body: Body = serde_json::from_str(text).map_err(|error| error.to_string())?;
                let results = body.remove(name).ok_or_else(|| format!("no `{name}`"))?;
                (body, results)
            }
            None => (Body::new(), serde_json::from_str(text).map_err(|error| error.to_string())?),
        };
        let items: Vec<Body> = serde_json::from_str(results.get()).map_err(|error| error.to_string())?;
        let ranked = items.iter().map(|item| self.convert_item(item)).collect::<Result<Vec<_>, _>>()?;
        out.set("results", &ranked);
        Ok(out.write(&[]))
    }

    fn convert_item<'a>(&self, item: &'a Body) -> Result<Ranked<'a>, String> {
        fn field<'a>(item: &'a Body, name: &str) -> Result<&'a RawValue, String> {
            let raw = item.get(name).ok_or_else(|| format!("a result has no `{name}`"))?;
            <&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(raw)).map_err(|error| error.to_string())
        }
        Ok(Ranked { index: field(item, "index")?, relevance_score: field(item, self.score)? })
    }
}

#[derive(serde::Serialize)]
struct Ranked<'a> {
    index: &'a RawValue,
    relevance_score: &'a RawValue,
}
