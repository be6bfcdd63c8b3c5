//! Chat completions: OpenAI's body and answer.
use bytes::Bytes;
use serde::Serialize;

use super::{Body, Kind, Prompt, Usage};
use crate::error::{Failure, Invalid};

/// OpenAI's chat-completions body without `model`; `message` was turned into `messages`.
#[derive(Clone, Debug)]
pub struct CompletionRequest {
    body: Body,
}

impl AsRef<Body> for CompletionRequest {
    fn as_ref(&self) -> &Body {
        &self.body
    }
}

/// A call that the model wants made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    /// The provider's id of the call.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// Its arguments, JSON text as the model wrote it.
    pub arguments: String,
}

/// A chat completion.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Text.
    pub content: String,
    /// Tool calls.
    pub tool_calls: Vec<ToolCall>,
    /// Why it ended.
    pub finish_reason: String,
    model: String,
    usage: Option<Usage>,
    raw: Bytes,
}

impl Completion {
    /// The provider's own answer.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }
}

impl Kind for Completion {
    type Request = CompletionRequest;
    const NAME: &'static str = "completion";
    const PATH: &'static str = "/chat/completions";
    fn request(_body: Body) -> Result<CompletionRequest, Invalid> {
        todo!()
    }
    fn read(_answer: &Bytes, _request: &CompletionRequest) -> Result<Self, Failure> {
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
    fn prompt(_request: &CompletionRequest) -> Prompt {
        todo!()
    }
    fn join(mut parts: Vec<Self>) -> Self {
        parts.swap_remove(0)
    }
}

/// One piece of a streamed completion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Chunk {
    /// Text of the answer.
    Content {
        /// What to append.
        delta: String,
    },
    /// Text of the reasoning.
    Reasoning {
        /// What to append.
        delta: String,
    },
    /// A piece of a tool call.
    ToolCall {
        /// Which call.
        index: u32,
        /// Its id, with its first piece.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// The function's name, with its first piece.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// What to append to the arguments.
        arguments: String,
    },
    /// The answer begins again elsewhere: drop what came before.
    Restart {
        /// The content that is to be dropped.
        discarded: String,
        /// `provider::model` that goes on.
        deployment: String,
    },
}

/// Assembles a streamed completion from the data of its events, in the kind's wire form.
#[derive(Debug, Default)]
pub struct StreamAssembly {}

impl StreamAssembly {
    /// Takes the data of one event and appends what it says to `chunks`.
    ///
    /// # Errors
    /// If the event cannot be read, or is an error that the provider sent inside the stream.
    pub fn push(&mut self, _data: &str, _chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        todo!()
    }

    /// The content so far.
    #[must_use]
    pub fn content(&self) -> &str {
        todo!()
    }

    /// The whole answer.
    ///
    /// # Errors
    /// [`FailureClass::Truncated`](crate::error::FailureClass::Truncated) if no finish reason came.
    pub fn finish(self) -> Result<Completion, Failure> {
        todo!()
    }
}

impl Completion {
    /// The chunks that a stream of this answer gives.
    #[must_use]
    pub fn chunks(&self) -> Vec<Chunk> {
        todo!()
    }
}
