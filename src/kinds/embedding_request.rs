//! What embeddings are asked with: OpenAI's body, checked, and how it is taken apart and put together again.

use serde::Serialize;

use super::checks::{filled_string, positive, required_strings};
use super::shared::Shared;
use super::{Body, Field, Prompt};
use crate::error::Invalid;

/// OpenAI's embeddings body without `model`. `input` is always an array in it, so that `"a"` and `["a"]` are one
/// request.
///
/// ```
/// use thryd::kinds::EmbeddingRequest;
/// let request = EmbeddingRequest::input(["red", "blue"]).set("dimensions", 256);
/// assert_eq!(request.as_ref().get("input"), Some(r#"["red","blue"]"#));
/// ```
#[derive(Clone, Debug)]
pub struct EmbeddingRequest {
    body: Body,
    inputs: Vec<String>,
}

impl AsRef<Body> for EmbeddingRequest {
    fn as_ref(&self) -> &Body {
        &self.body
    }
}

impl EmbeddingRequest {
    /// One vector for each of these texts.
    #[must_use]
    pub fn input<T: Into<String>>(inputs: impl IntoIterator<Item = T>) -> Self {
        Self::of(Body::new(), inputs.into_iter().map(Into::into).collect())
    }

    /// The same request with a further field of the body, e.g. `dimensions`.
    ///
    /// # Panics
    /// If the value does not serialise, which plain data always does.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Serialize) -> Self {
        self.body.set(name, &value);
        if name == "input" {
            self.inputs = self.body.read("input", "an array of strings").ok().flatten().unwrap_or_default();
        }
        self
    }

    /// The texts, in their order.
    #[must_use]
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn of(mut body: Body, inputs: Vec<String>) -> Self {
        // The texts as they came are let go of before they are written again: they may be long.
        body.put("input", Shared::from("null"));
        body.let_go();
        body.set("input", &inputs);
        Self { body, inputs }
    }

    /// Checks a body: see [`Kind::request`](super::Kind::request).
    pub(super) fn check(mut body: Body) -> Result<Self, Invalid> {
        body.drop_nulls();
        for name in ["model", "stream", "encoding_format"] {
            body.remove(name);
        }
        let inputs = match body.get("input").filter(|raw| raw.starts_with('"')) {
            Some(raw) => vec![filled_string(raw, || "request.input".to_owned())?],
            None => required_strings(&body, "input", false)?,
        };
        positive(&body, "dimensions")?;
        Ok(Self::of(body, inputs))
    }

    /// Whether the texts are parts of one, whose vectors depend on their neighbours (Jina's `late_chunking`).
    pub(super) fn is_one_context(&self) -> bool {
        self.body.get(Field::LateChunking.name()).is_some_and(|raw| raw != "false")
    }

    /// One request for each input.
    pub(super) fn split(&self) -> Vec<Self> {
        // Without the inputs, which all of them together would copy for each.
        let mut rest = self.body.clone();
        rest.remove("input");
        self.inputs.iter().map(|input| Self::of(rest.clone(), vec![input.clone()])).collect()
    }

    /// One request for the inputs of all parts, with every other field of the first.
    pub(super) fn batch(parts: &[Self]) -> Self {
        let body = parts.first().map(|part| part.body.clone()).unwrap_or_default();
        Self::of(body, parts.iter().flat_map(|part| part.inputs.iter().cloned()).collect())
    }

    /// What of it counts as tokens. There is no framing, and no answer in tokens.
    pub(super) fn prompt(&self) -> Prompt<'_> {
        Prompt {
            texts: self.inputs.iter().map(|input| (&**input).into()).collect(),
            completion: Some(0),
            ..Prompt::default()
        }
    }
}
