//! LLM APIs: how a request becomes bytes and how bytes become an answer. Pure; no socket is opened here.
//!
//! A provider maps between a kind's wire form and its own dialect. Most speak OpenAI's dialect as it is, so their
//! mapping is the identity. [`create_provider`] makes every provider that ships with the crate; others implement
//! [`Provider`] (`docs/extending.md`).

mod anthropic;
mod azure;
mod create;
mod custom;
mod delay;
mod dialects;
mod dummy;
mod failure;
mod gemini;
mod loose;
mod openai;
mod options;
mod presets;
mod rerank;
mod words;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

pub use create::create_provider;
pub use custom::{CustomCall, CustomHandler, CustomProvider};
pub use dummy::{DummyOptions, Fault, Faults, Response};
pub use failure::{classify, classify_at, in_band, not_an_answer};
pub use options::{ProviderOptions, provider_types};

use crate::connections::{HttpRequest, Rejection};
use crate::error::{Failure, Result};
use crate::kinds::{Body, Usage};
use crate::tracker::Tracker;

/// One request to one model, as the router hands it to a provider.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// [`Kind::NAME`](crate::Kind::NAME).
    pub kind: &'static str,
    /// [`Kind::PATH`](crate::Kind::PATH).
    pub path: &'static str,
    /// The model's name, without the provider's.
    pub model: &'a str,
    /// The request in the kind's wire form, without `model` and `stream`.
    pub body: &'a Body,
    /// Whether the answer is wanted piece by piece.
    pub is_stream: bool,
}

/// How a provider gets its answer.
pub enum Outgoing {
    /// By this exchange; the answer then passes through [`Provider::read`], or each event through
    /// [`Provider::read_event`].
    Http(HttpRequest),
    /// By itself, in this process. The answer is in the kind's wire form already. Dropping the future, or the stream
    /// that it gives, cancels.
    Local(LocalFuture),
}

/// The answer of a provider that needs no socket.
pub type LocalFuture = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;

/// The data of server-sent events in the kind's wire form, without `[DONE]`.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<String, Failure>> + Send>>;

/// An answer in the kind's wire form.
pub enum Reply {
    /// All of it.
    Whole(Bytes),
    /// Piece by piece: to a call with `is_stream`, or to any other (it is then assembled).
    Events(EventStream),
}

/// How many inputs and tokens an endpoint takes in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimit {
    /// Most inputs.
    pub inputs: usize,
    /// Most tokens, all inputs together.
    pub tokens: u64,
}

/// Reads the events of one stream, in their order.
pub trait EventReader: Send {
    /// Turns the data of one event into the kind's wire form; `None` if it says nothing there.
    ///
    /// # Errors
    /// If it is a failure in the middle of a stream.
    fn read(&mut self, data: String) -> Result<Option<String>, Failure>;
}

/// An LLM API endpoint: name, address, key, dialect.
pub trait Provider: Debug + Send + Sync + 'static {
    /// The name that models use: the `openai` of `openai::gpt-4o`.
    fn name(&self) -> &str;

    /// The host of its address, without the port, if it has one: what clients of a gateway are not told.
    fn host(&self) -> Option<&str> {
        None
    }

    /// A URL of its address, if a connection to it is to be opened when it is added: see [`ProviderOptions::warm_up`].
    fn warm_up(&self) -> Option<&str> {
        None
    }

    /// Whether this provider has such an endpoint.
    fn supports(&self, kind: &str) -> bool;

    /// Writes a request in the provider's dialect.
    ///
    /// # Errors
    /// If this provider cannot say what the request asks for.
    fn write(&self, call: &Call<'_>) -> Result<Outgoing>;

    /// Turns a whole answer into the kind's wire form.
    ///
    /// # Errors
    /// If it is not such an answer, or is a failure in an answer's clothes.
    fn read(&self, _call: &Call<'_>, answer: Bytes) -> Result<Bytes, Failure> {
        Ok(answer)
    }

    /// Turns the data of one event into the kind's wire form; `None` if it says nothing there.
    ///
    /// # Errors
    /// If it is a failure in the middle of a stream.
    fn read_event(&self, _call: &Call<'_>, data: String) -> Result<Option<String>, Failure> {
        Ok(Some(data))
    }

    /// What reads the events of one stream, where one cannot be read without those before it. It is asked in the place of
    /// [`Provider::read_event`], also for a stream that nobody asked for.
    fn event_reader(&self, _call: &Call<'_>) -> Option<Box<dyn EventReader>> {
        None
    }

    /// What an answer that is not a success means.
    fn classify(&self, rejection: &Rejection<'_>) -> Failure {
        failure::classify(rejection)
    }

    /// The window of the account that pays, if its limits are to be counted for everyone who uses it: charged by every
    /// deployment on this provider, beside its own.
    fn account(&self) -> Option<Tracker> {
        None
    }

    /// A hash of what makes the account behind it that account, e.g. base URL and key: who has the same may be one account, and
    /// limits that several processes share are counted for it. Default: of the name.
    fn identity(&self) -> [u8; 32] {
        blake3::derive_key("thryd 2026-11 provider: name", self.name().as_bytes())
    }

    /// Whether a cache may keep its answers.
    fn is_cacheable(&self) -> bool {
        true
    }

    /// What of an answer's usage counts against the provider's tokens per minute.
    fn charged_tokens(&self, usage: &Usage) -> u64 {
        usage.total_tokens
    }

    /// The most that one request may hold, for kinds that can be split.
    fn batch_limit(&self, _kind: &str) -> BatchLimit {
        BatchLimit { inputs: 2048, tokens: 300_000 }
    }
}
