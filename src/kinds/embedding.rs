//! Stub.
use bytes::Bytes;

use super::{Body, Kind, Prompt, Usage};
use crate::error::{Failure, Invalid};

/// Request.
#[derive(Clone, Debug)]
pub struct EmbeddingRequest {
    body: Body,
}
impl AsRef<Body> for EmbeddingRequest {
    fn as_ref(&self) -> &Body {
        &self.body
    }
}
/// Answer.
#[derive(Clone, Debug)]
pub struct Embeddings {
    model: String,
    usage: Option<Usage>,
}
impl Kind for Embeddings {
    type Request = EmbeddingRequest;
    const NAME: &'static str = "embedding";
    const PATH: &'static str = "/embeddings";
    fn request(_body: Body) -> Result<EmbeddingRequest, Invalid> {
        todo!()
    }
    fn read(_answer: &Bytes, _request: &EmbeddingRequest) -> Result<Self, Failure> {
        todo!()
    }
    fn store(&self) -> Bytes {
        todo!()
    }
    fn load(_stored: &Bytes) -> Option<Self> {
        todo!()
    }
    fn is_storable(&self) -> bool {
        todo!()
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
    fn prompt(_request: &EmbeddingRequest) -> Prompt {
        todo!()
    }
    fn join(mut parts: Vec<Self>) -> Self {
        parts.swap_remove(0)
    }
}
impl Embeddings {
    /// One vector per input, in the order of the inputs.
    #[must_use]
    pub fn vectors(&self) -> &[Vec<f32>] {
        todo!()
    }
}
