//! The pieces in which a streamed completion is told.

use serde::Serialize;

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
    /// A piece of a tool call, of a function or of a custom tool.
    ToolCall {
        /// Which call.
        index: u32,
        /// Its id, with its first piece.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// The tool's name, with its first piece.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// What to append to the arguments, or to a custom tool's input.
        arguments: String,
    },
    /// The answer begins again elsewhere: drop what came before.
    Restart {
        /// The content that is to be dropped.
        discarded: String,
        /// `provider::model` that goes on.
        deployment: String,
    },
    /// The data of one event as the provider sent it, in OpenAI's shape: the only chunk of a stream that was asked for the
    /// events themselves.
    Event {
        /// JSON text.
        data: String,
    },
}
