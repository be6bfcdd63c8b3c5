//! Stub.
use bytes::Bytes;

use super::{Body, Kind, Prompt, Usage};
use crate::error::{Failure, Invalid};

/// Request.
#[derive(Clone, Debug)]
pub struct RerankRequest {
    body: Body,
}
impl AsRef<Body> for RerankRequest {
    fn as_ref(&self) -> &Body {
        &self.body
    }
}
/// Answer.
#[derive(Clone, Debug)]
pub struct Ranking {
    model: String,
    usage: Option<Usage>,
}
impl Kind for Ranking {
    type Request = RerankRequest;
    const NAME: &'static str = "rerank";
    const PATH: &'static str = "/rerank";
    fn request(_body: Body) -> Result<RerankRequest, Invalid> {
        todo!()
    }
    fn read(_answer: &Bytes, _request: &RerankRequest) -> Result<Self, Failure> {
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
    fn prompt(_request: &RerankRequest) -> Prompt {
        todo!()
    }
    fn join(mut parts: Vec<Self>) -> Self {
        parts.swap_remove(0)
    }
}
/// One document's place.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Ranked {
    /// Index of the document in the request.
    pub index: usize,
    /// How relevant it is.
    pub score: f64,
}
impl Ranking {
    /// Best first.
    #[must_use]
    pub fn results(&self) -> &[Ranked] {
        todo!()
    }
}
