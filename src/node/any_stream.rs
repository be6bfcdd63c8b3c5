//! A stream of any kind behind one trait, so that the binding has one table for all.

use std::task::Waker;

use futures_util::future::BoxFuture;

use super::letter::{Kind as LetterKind, Mail};
use super::served::Crossing;
use crate::error::{ErrorKind, Result};
use crate::kinds::Streaming;
use crate::route::{AnswerStream, Batch, Poll};

/// What has come of a stream, as mail that is not addressed yet; and whether there is nothing after it.
pub struct Arrived {
    pub mail: Result<Mail>,
    pub is_end: bool,
}

/// A stream of any kind.
pub trait AnyStream: Send + Sync {
    /// Sends the call on its way.
    fn start(&self);

    /// `None` if nothing has come.
    fn try_next(&self) -> Option<Arrived>;

    /// The same; if it is nothing, `waker` is woken. Outside `None` if there are clocks to run meanwhile, which takes `next`.
    #[allow(clippy::option_option, reason = "two answers to two questions")]
    fn try_next_or_wake(&self, waker: &Waker) -> Option<Option<Arrived>>;

    fn next(&self) -> BoxFuture<'_, Arrived>;

    fn leave(&self);

    fn cancel(&self);
}

impl<K: Crossing + Streaming> AnyStream for AnswerStream<K> {
    fn start(&self) {
        self.start();
    }

    fn try_next(&self) -> Option<Arrived> {
        polled(self.try_next())
    }

    fn try_next_or_wake(&self, waker: &Waker) -> Option<Option<Arrived>> {
        self.try_next_or_wake(waker).map(polled)
    }

    fn next(&self) -> BoxFuture<'_, Arrived> {
        Box::pin(async move { arrived(self.next().await) })
    }

    fn leave(&self) {
        self.leave();
    }

    fn cancel(&self) {
        self.cancel();
    }
}

fn polled<K: Crossing>(poll: Poll<K>) -> Option<Arrived> {
    match poll {
        Poll::Waiting => None,
        Poll::Ready(batch) => Some(arrived(batch)),
    }
}

fn arrived<K: Crossing>(batch: Option<Result<Batch<K>>>) -> Arrived {
    let (mail, is_end) = match batch {
        Some(Ok(Batch::Chunks(chunks))) => {
            let text = serde_json::to_string(&chunks).expect("plain data serialises");
            (Ok(Mail::new(LetterKind::Batch, 0, Some(text))), false)
        }
        Some(Ok(Batch::End(answer))) => (Ok(K::letter(LetterKind::End, 0, *answer)), true),
        Some(Err(error)) => (Err(error), true),
        None => (Err(ErrorKind::Cancelled.into()), true),
    };
    Arrived { mail, is_end }
}
