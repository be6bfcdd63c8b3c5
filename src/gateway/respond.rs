//! One request of a kind, from the bytes of its body to an answer: at once, later, or piece by piece.

use futures_util::future::BoxFuture;

use super::answer;
use super::ask::Ask;
use super::refusal::Refusal;
use super::response::{Head, Response, origin};
use super::stream::{CompletionEvents, ResponseEvents, ResponseStream};
use crate::error::Result;
use crate::kinds::{Completion, CompletionRequest, Embeddings, Kind, ModelResponse, Ranking, ResponsesRequest};
use crate::options::{InvokeOptions, StreamOptions};
use crate::route::{Answer, Begun, Hosts, Router};

/// An answer that was begun.
pub enum Responding {
    /// Whole.
    Ready(Response),
    /// Whole, later; dropping it cancels.
    Pending(BoxFuture<'static, Response>),
    /// Piece by piece. It sets out when it is first waited for, or with [`ResponseStream::start`].
    Stream(Box<ResponseStream>),
}

/// A kind whose answers can be written as bodies.
pub trait Answering: Kind {
    /// The body.
    fn body(answer: &Answer<Self>, ask: &Ask) -> String;

    /// The answer piece by piece, for the kind that has such.
    fn streamed(
        _router: &Router<Self>,
        _ask: &Ask,
        _request: &Self::Request,
        _options: StreamOptions,
    ) -> Option<Result<ResponseStream>> {
        None
    }
}

/// Answers a request with this body. Needs the context of a Tokio runtime.
#[must_use]
pub fn respond<K: Answering>(router: &Router<K>, body: &[u8], options: InvokeOptions) -> Responding {
    let refused = |refusal: Refusal| Responding::Ready(refusal.into());
    let mut ask = match Ask::read::<K>(body) {
        Ok(ask) => ask,
        Err(refusal) => return refused(refusal),
    };
    let request = match K::request(std::mem::take(&mut ask.body)) {
        Ok(request) => request,
        Err(invalid) => return refused(invalid.into()),
    };
    if ask.is_stream {
        let stream = StreamOptions { invoke: options.clone(), events: true, ..StreamOptions::default() };
        match K::streamed(router, &ask, &request, stream) {
            Some(Ok(stream)) => return Responding::Stream(Box::new(stream)),
            Some(Err(error)) => return refused(Refusal::of(&error, &router.hosts())),
            None => {}
        }
    }
    match router.begin(&ask.group, request, options) {
        Begun::Ready(result) => Responding::Ready(written(result, &ask, &router.hosts())),
        Begun::Pending(call) => {
            let hosts = router.hosts();
            Responding::Pending(Box::pin(async move { written(call.await, &ask, &hosts) }))
        }
    }
}

fn written<K: Answering>(result: Result<Answer<K>>, ask: &Ask, hosts: &Hosts) -> Response {
    match result {
        Ok(answer) => {
            let head = Head::new(200, "application/json").from(&origin(&answer));
            Response { head, body: K::body(&answer, ask) }
        }
        Err(error) => Refusal::of(&error, hosts).into(),
    }
}

impl Answering for Completion {
    fn body(answer: &Answer<Self>, _ask: &Ask) -> String {
        answer::completion(answer)
    }

    fn streamed(
        router: &Router<Self>,
        ask: &Ask,
        request: &CompletionRequest,
        options: StreamOptions,
    ) -> Option<Result<ResponseStream>> {
        let stream = router.stream_later(&ask.group, request, options);
        let events = CompletionEvents::new(ask.shows_usage);
        Some(stream.map(|stream| ResponseStream::new(stream, events, router.hosts())))
    }
}

impl Answering for ModelResponse {
    fn body(answer: &Answer<Self>, _ask: &Ask) -> String {
        answer::response(answer)
    }

    fn streamed(
        router: &Router<Self>,
        ask: &Ask,
        request: &ResponsesRequest,
        options: StreamOptions,
    ) -> Option<Result<ResponseStream>> {
        let stream = router.stream_later(&ask.group, request, options);
        Some(stream.map(|stream| ResponseStream::new(stream, ResponseEvents::default(), router.hosts())))
    }
}

impl Answering for Embeddings {
    fn body(answer: &Answer<Self>, ask: &Ask) -> String {
        answer::embeddings(answer, ask)
    }
}

impl Answering for Ranking {
    fn body(answer: &Answer<Self>, ask: &Ask) -> String {
        answer::ranking(answer, ask)
    }
}
