//! What can be asked for: plain data, and how each kind reads and writes its own wire form.
//!
//! A kind is its answer type: `Router<Completion>` answers with [`Completion`]s. To add one, implement [`Kind`]
//! (`docs/extending.md`).

mod body;
mod calls;
mod checks;
mod chunk;
mod completion;
mod completion_request;
mod embedding;
mod embedding_request;
mod event;
mod field;
mod image;
mod merge;
mod open;
mod parts;
mod prompt;
mod repeated;
mod replay;
mod rerank;
mod response;
mod script;
mod shared;
mod stream;
mod text;
mod usage;
mod whole;
mod wire;

use std::borrow::Cow;
use std::fmt::Debug;

use bytes::Bytes;

pub use body::Body;
pub use chunk::Chunk;
pub(crate) use completion::FILTERED;
pub use completion::{Completion, ToolCall};
pub use completion_request::CompletionRequest;
pub use embedding::Embeddings;
pub use embedding_request::EmbeddingRequest;
pub use field::Field;
pub use image::{Detail, Image};
pub use prompt::{MESSAGE_TOKENS, NAME_TOKENS, Prompt, REPLY_TOKENS, messages_prompt};
pub(crate) use replay::pieces as text_pieces;
pub use rerank::{Ranked, Ranking, RerankRequest};
pub use response::{ModelResponse, ResponseAssembly, ResponsesRequest};
pub(crate) use response::{ResponsePart, write_response_events};
pub use script::{Pieces, Script};
pub use shared::Shared;
pub use stream::StreamAssembly;
pub(crate) use text::{Half, text as json_text};
pub use usage::{Price, Usage};

use crate::error::{Failure, Invalid};

/// A kind of work that a router can do, named by its answer.
///
/// Every kind has one wire form, OpenAI's where OpenAI has one. A provider maps it to and from its own dialect, so a
/// kind never meets a dialect.
pub trait Kind: Clone + Debug + Send + Sync + Sized + 'static {
    /// What is asked: a [`Body`] that was checked.
    type Request: AsRef<Body> + Clone + Debug + Send + Sync + 'static;

    /// The kind's name, part of every cache key, e.g. `completion`.
    const NAME: &'static str;

    /// Where an endpoint of OpenAI's dialect answers it, below the base URL, e.g. `/chat/completions`.
    const PATH: &'static str;

    /// Checks a body.
    ///
    /// # Errors
    /// If a field is missing or of the wrong type; a field that is not known is not an error, it travels.
    fn request(body: Body) -> Result<Self::Request, Invalid>;

    /// Reads a whole answer in the kind's wire form.
    ///
    /// # Errors
    /// [`FailureClass::Truncated`](crate::error::FailureClass::Truncated) if it is not such an answer.
    fn read(answer: &Bytes, request: &Self::Request) -> Result<Self, Failure>;

    /// The answer in the form that [`Kind::load`] reads: what the cache keeps.
    fn store(&self) -> Bytes;

    /// Reads what [`Kind::store`] wrote. `None` for anything else.
    fn load(stored: &Bytes) -> Option<Self>;

    /// Whether the answer is complete, so that it may be kept for the next caller.
    fn is_storable(&self) -> bool;

    /// The model that the provider says answered.
    fn model(&self) -> &str;

    /// What the provider says it cost, if it says so.
    fn usage(&self) -> Option<&Usage>;

    /// Sets the usage, with the cost, or estimated where the provider did not report it.
    fn set_usage(&mut self, usage: Usage);

    /// What of a request counts as tokens: texts, pictures, tools, and what the framing adds to them.
    fn prompt(request: &Self::Request) -> Prompt<'_>;

    /// The text of the answer, whose tokens count when the provider does not say.
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    /// What puts a streamed answer together, for a kind that can be streamed.
    #[must_use]
    fn assembly() -> Option<Box<dyn Assembly<Self>>> {
        None
    }

    /// How many choices this request asks for.
    #[must_use]
    fn choices(_request: &Self::Request) -> usize {
        1
    }

    /// The pieces that a stream of this answer gives.
    fn chunks(&self) -> Vec<Chunk> {
        Vec::new()
    }

    /// The events that a stream of this answer would have had, in the kind's wire form.
    fn events(&self) -> Vec<Chunk> {
        Vec::new()
    }

    /// The request's independent parts, if it has more than one: each is cached and joined on its own.
    fn split(_request: &Self::Request) -> Option<Vec<Self::Request>> {
        None
    }

    /// One request for several parts of [`Kind::split`].
    fn batch(parts: &[Self::Request]) -> Self::Request {
        parts[0].clone()
    }

    /// The answers to the parts of a batch, in their order.
    fn unbatch(self) -> Vec<Self> {
        vec![self]
    }

    /// One answer from the answers to the parts, in their order.
    fn join(parts: Vec<Self>) -> Self;

    /// The ids of what a request goes on from, an earlier answer, parts of one, or a conversation, which only the provider has
    /// that gave it.
    #[must_use]
    fn builds_on(_request: &Self::Request) -> Vec<String> {
        Vec::new()
    }

    /// Whether a request changes what the provider keeps, so that it must not be answered from a cache, shared with an equal
    /// one, or sent twice to different providers.
    #[must_use]
    fn changes_state(_request: &Self::Request) -> bool {
        false
    }

    /// The ids by which a later request may go on from this answer.
    fn state_ids(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A kind that can be streamed: its [`Kind::assembly`] is there, and [`Router::stream`](crate::Router::stream) is as well.
pub trait Streaming: Kind {}

/// Puts a streamed answer together from the data of its events, in the kind's wire form.
pub trait Assembly<K>: Send {
    /// Takes the data of one event and appends what it says to `chunks`.
    ///
    /// # Errors
    /// If the event cannot be read.
    fn push(&mut self, data: &str, chunks: &mut Vec<Chunk>) -> Result<(), Failure>;

    /// Whether this many choices have come to their end, so that nothing but counts and the end of the stream is to follow.
    fn is_complete(&self, choices: usize) -> bool;

    /// Whether anything was said of the answer itself, so that the request cannot be sent elsewhere unnoticed.
    fn has_spoken(&self) -> bool;

    /// Whether the last event has come, so that the end of the stream is not waited for.
    fn is_over(&self) -> bool {
        false
    }

    /// The last event as it is to be shown to whoever reads events, if its provider's own would be misread.
    fn mended(&self, _data: &str) -> Option<String> {
        None
    }

    /// The whole answer.
    ///
    /// # Errors
    /// [`FailureClass::Truncated`](crate::error::FailureClass::Truncated) if the stream ended early.
    fn finish(self: Box<Self>) -> Result<K, Failure>;
}
