//! A streamed answer as server-sent events: the provider's own, and an end only after a whole answer.

mod completion;
mod response;

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;

pub(super) use self::completion::CompletionEvents;
pub(super) use self::response::ResponseEvents;
use super::refusal::Refusal;
use super::response::{Head, Response, origin};
use crate::error::{Error, ErrorKind};
use crate::kinds::{Chunk, Streaming};
use crate::route::{Answer, AnswerStream, Batch, Hosts, Origin, Poll};

/// What one read gives.
#[derive(Debug)]
pub enum Part {
    /// The first: what comes before the body, and its beginning.
    Begin(Head, String),
    /// More of the body.
    More(String),
    /// The end of the body. There is nothing after it.
    End(String),
    /// An answer of another kind instead, because nothing has come. There is nothing after it.
    Refused(Response),
    /// The body ends early: the event that says so, and why. There is nothing after it.
    Broken(String, Error),
}

/// A streamed answer, for one reader. Dropping it cancels, as with [`AnswerStream`].
#[derive(Debug)]
pub struct ResponseStream(Box<dyn Parts>);

impl ResponseStream {
    pub(super) fn new<K: Streaming>(stream: AnswerStream<K>, events: impl Events<K> + 'static, hosts: Hosts) -> Self {
        let state = Mutex::new(State { events, has_begun: false, end: None });
        Self(Box::new(Written { stream, hosts, state }))
    }

    /// Sends the call on its way, if it is not. Needs the context of a Tokio runtime.
    pub fn start(&self) {
        self.0.start();
    }

    /// What has arrived, without waiting; `None` if nothing has. Needs the context of a Tokio runtime.
    #[must_use]
    pub fn try_next(&self) -> Option<Part> {
        self.0.try_next()
    }

    /// What has arrived, waiting for something to arrive.
    pub async fn next(&self) -> Part {
        self.0.start();
        self.0.next().await
    }

    /// What [`AnswerStream::leave`] does; [`cancel`](ResponseStream::cancel) has to follow.
    pub fn leave(&self) {
        self.0.leave();
    }

    /// Leaves the call.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// What a failure is to the reader, as far as it has read: another answer, or the end of this one. There is nothing after it.
    #[must_use]
    pub fn fail(&self, error: Error) -> Part {
        self.0.fail(error)
    }
}

/// How a kind's stream is written.
pub(super) trait Events<K>: Send {
    /// What chunks are in the body; empty if nothing of them is for the reader yet.
    fn text(&mut self, chunks: &[Chunk]) -> String;

    /// What comes after all chunks of a whole answer.
    fn end(&mut self, answer: &Answer<K>) -> String;

    /// What tells the reader that there will be no more.
    fn broken(&self, refusal: &Refusal) -> String;
}

/// A streamed answer of any kind.
trait Parts: std::fmt::Debug + Send + Sync {
    fn start(&self);
    fn try_next(&self) -> Option<Part>;
    fn next(&self) -> BoxFuture<'_, Part>;
    fn leave(&self);
    fn cancel(&self);
    fn fail(&self, error: Error) -> Part;
}

struct Written<K: Streaming, E> {
    stream: AnswerStream<K>,
    hosts: Hosts,
    state: Mutex<State<E>>,
}

struct State<E> {
    events: E,
    has_begun: bool,
    /// What comes after the beginning, if all was there at once.
    end: Option<String>,
}

impl<K: Streaming, E: Events<K>> Parts for Written<K, E> {
    fn start(&self) {
        self.stream.start();
    }

    fn try_next(&self) -> Option<Part> {
        if let Some(end) = self.state().end.take() {
            return Some(Part::End(end));
        }
        loop {
            match self.stream.try_next() {
                Poll::Waiting => return None,
                Poll::Ready(batch) => {
                    if let Some(part) = self.part(batch) {
                        return Some(part);
                    }
                }
            }
        }
    }

    fn next(&self) -> BoxFuture<'_, Part> {
        Box::pin(async move {
            if let Some(end) = self.state().end.take() {
                return Part::End(end);
            }
            loop {
                if let Some(part) = self.part(self.stream.next().await) {
                    return part;
                }
            }
        })
    }

    fn leave(&self) {
        self.stream.leave();
    }

    fn cancel(&self) {
        self.stream.cancel();
    }

    fn fail(&self, error: Error) -> Part {
        let refusal = Refusal::of(&error, &self.hosts);
        let state = self.state();
        // Clients of OpenAI's fail at such an event; none of them fails at a body that only ends.
        if state.has_begun { Part::Broken(state.events.broken(&refusal), error) } else { Part::Refused(refusal.into()) }
    }
}

impl<K: Streaming, E: Events<K>> Written<K, E> {
    /// `None` if nothing of it is for the reader.
    fn part(&self, batch: Option<Result<Batch<K>, Error>>) -> Option<Part> {
        let mut state = self.state();
        let (origin, text) = match batch {
            Some(Ok(Batch::Chunks(chunks))) => {
                let text = state.events.text(&chunks);
                if text.is_empty() {
                    return None;
                }
                (self.stream.origin(), text)
            }
            Some(Ok(Batch::End(answer))) => {
                let text = state.events.end(&answer);
                if state.has_begun {
                    return Some(Part::End(text));
                }
                state.end = Some(String::new());
                (Some(origin(&answer)), text)
            }
            Some(Err(error)) => {
                drop(state);
                return Some(self.fail(error));
            }
            // Never a clean end without a whole answer.
            None => return Some(Part::Broken(String::new(), ErrorKind::Cancelled.into())),
        };
        if std::mem::replace(&mut state.has_begun, true) {
            return Some(Part::More(text));
        }
        let mut head = Head::new(200, "text/event-stream; charset=utf-8");
        head.headers.push(("cache-control", "no-cache".to_owned()));
        let head = origin.as_ref().map_or_else(|| head.clone(), |origin: &Origin| head.clone().from(origin));
        Some(Part::Begin(head, text))
    }

    // A std mutex: nothing is awaited while it is held.
    fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Streaming, E> std::fmt::Debug for Written<K, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// The data of one event. Whatever came in lines goes out in lines.
fn push_event(text: &mut String, data: &str) {
    for line in data.split(['\n', '\r']) {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_several_lines_is_still_one() {
        let mut text = String::new();
        push_event(&mut text, "{\n\"a\":1}");
        assert_eq!(text, "data: {\ndata: \"a\":1}\n\n");
    }
}
