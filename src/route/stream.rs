//! A streamed answer as its reader has it: what has arrived, taken in batches.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll as Progress, Waker};

use futures_util::future::{Either, select};
use tokio::time::Instant;

use super::answer::{Answer, CacheStatus};
use super::call::{Prepared, within_total};
use super::fly::{Seat, Shared, joined, settled};
use super::log::{Found, Wish};
use super::serve::Reading;
use crate::error::{Error, ErrorKind};
use crate::kinds::{Chunk, Completion, Streaming};
use crate::options::Interest;

/// What one read of a stream gives.
#[derive(Clone, Debug)]
pub enum Batch<K = Completion> {
    /// Chunks that have arrived since the last read.
    Chunks(Vec<Chunk>),
    /// The end, with the whole answer.
    End(Box<Answer<K>>),
}

/// Where what a stream gives comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `provider::model`.
    pub deployment: String,
    /// Whose call it was, or which level of the cache had it.
    pub cache: CacheStatus,
    /// How many attempts there have been.
    pub attempts: usize,
}

/// What [`AnswerStream::try_next`] found.
#[derive(Debug)]
pub enum Poll<K = Completion> {
    /// As [`AnswerStream::next`].
    Ready(Option<Result<Batch<K>, Error>>),
    /// Nothing yet.
    Waiting,
}

/// An answer as it comes. Dropping it cancels the call and closes the socket, unless an equal call shares it.
pub struct AnswerStream<K: Streaming> {
    prepared: Prepared<K>,
    wish: Wish,
    reading: Reading,
    /// When its total time was first seen to be over.
    over: OnceLock<Instant>,
    inner: Mutex<Inner<K>>,
}

/// A completion as it comes.
pub type CompletionStream = AnswerStream<Completion>;

struct Inner<K: Streaming> {
    stage: Stage<K>,
    origin: Option<Origin>,
    /// Whoever waits in [`AnswerStream::next`].
    waker: Option<Waker>,
}

enum Stage<K: Streaming> {
    /// Reads along with a call in flight.
    Following { seat: Seat<Answer<K>>, is_given: bool, rejoins: u32 },
    /// Has all that it will give.
    Ending(Vec<Chunk>, Box<Answer<K>>),
    /// Was cancelled, and has not been told so.
    Cancelled,
    /// Gives nothing any more.
    Over,
}

impl<K: Streaming> AnswerStream<K> {
    /// Begins a call: one that memory can answer is answered, any other joins an equal one, or starts with
    /// [`AnswerStream::start`].
    pub(crate) fn begin(mut prepared: Prepared<K>, wish: Wish, reading: Reading) -> Self {
        let guard = prepared.take_guard();
        let stage = if let Some(answer) = prepared.in_memory() {
            Stage::Ending(chunks(&answer, reading), Box::new(answer))
        } else {
            let seat = prepared.fly(reading, wish, Box::new(guard), 0);
            Stage::Following { seat, is_given: false, rejoins: 0 }
        };
        Self {
            prepared,
            wish,
            reading,
            over: OnceLock::new(),
            inner: Mutex::new(Inner { stage, origin: None, waker: None }),
        }
    }

    /// Sends the call on its way, if it is not. Needs the context of a Tokio runtime.
    pub fn start(&self) {
        if let Stage::Following { seat, .. } = &self.inner().stage {
            seat.start();
        }
    }

    /// What has arrived, waiting for something to arrive. `None` after the end or an error.
    ///
    /// # Errors
    /// What ended the stream early; once.
    pub async fn next(&self) -> Option<Result<Batch<K>, Error>> {
        let arrived = poll_fn(|context| match self.poll(context) {
            Poll::Ready(batch) => Progress::Ready(batch),
            Poll::Waiting => Progress::Pending,
        });
        let arrived = async {
            let Some(shared) = self.silent() else { return Ok(arrived.await) };
            let own_clocks = shared.out_of_time(self.prepared.started, &self.prepared.timeouts, true);
            match select(pin!(arrived), pin!(own_clocks)).await {
                Either::Left((batch, _)) => Ok(batch),
                Either::Right((error, _)) => Err(error),
            }
        };
        let (timeouts, started) = (&self.prepared.timeouts, self.prepared.started);
        let batch = within_total(timeouts, started, &self.over, arrived).await;
        batch.unwrap_or_else(|error| {
            self.leave();
            let left = std::mem::replace(&mut self.inner().stage, Stage::Over);
            drop(left);
            Some(Err(error))
        })
    }

    /// What has arrived, without waiting; if it is nothing, `waker` is woken when it is worth to ask again, and the last one
    /// who asked counts. Needs the context of a Tokio runtime. `None` if there are clocks to run meanwhile: that takes
    /// [`next`](AnswerStream::next).
    #[must_use]
    pub fn try_next_or_wake(&self, waker: &Waker) -> Option<Poll<K>> {
        let has_clocks = self.prepared.timeouts.total.is_some() || self.silent().is_some();
        (!has_clocks).then(|| self.poll(&mut Context::from_waker(waker)))
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<K> {
        let mut inner = self.inner();
        inner.waker = Some(context.waker().clone());
        loop {
            let rejoins = inner.rejoins();
            if let Stage::Following { seat, .. } = &mut inner.stage {
                // Both, because the last chunks come before the outcome. Asked again below, whatever this says.
                seat.reader.register(context.waker());
                let _ = seat.flight.poll_end(context);
            }
            match self.take(&mut inner) {
                // On another seat, which does not know yet whom to wake.
                Poll::Waiting if inner.rejoins() != rejoins => {}
                found => return found,
            }
        }
    }

    /// The call that is followed, as long as it has said nothing: its clocks may be longer than this reader's.
    fn silent(&self) -> Option<Arc<Shared>> {
        match &self.inner().stage {
            Stage::Following { seat, is_given: false, .. } => Some(Arc::clone(seat.flight.companion())),
            _ => None,
        }
    }

    /// Where it comes from, once a chunk was given.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.inner().origin.clone()
    }

    /// What has arrived, without waiting. Needs the context of a Tokio runtime.
    #[must_use]
    pub fn try_next(&self) -> Poll<K> {
        self.take(&mut self.inner())
    }

    /// Loses the [interest](crate::options::InvokeOptions::interest) that its options have, from any thread;
    /// [`cancel`](AnswerStream::cancel) has to follow.
    pub fn leave(&self) {
        self.prepared.options.interest.iter().for_each(Interest::lose);
    }

    /// Leaves the call, which is cancelled and its socket closed, unless an equal call shares it; the stream ends.
    pub fn cancel(&self) {
        let mut inner = self.inner();
        let stage = match inner.stage {
            Stage::Over | Stage::Cancelled => return,
            _ => std::mem::replace(&mut inner.stage, Stage::Cancelled),
        };
        let waker = inner.waker.take();
        // Outside the lock: what the call drops may come back here.
        drop(inner);
        drop(stage);
        waker.into_iter().for_each(Waker::wake);
    }

    fn take(&self, inner: &mut Inner<K>) -> Poll<K> {
        loop {
            let (stage, found) = match std::mem::replace(&mut inner.stage, Stage::Over) {
                Stage::Over => (Stage::Over, Some(None)),
                Stage::Cancelled => (Stage::Over, Some(Some(Err(ErrorKind::Cancelled.into())))),
                Stage::Ending(chunks, answer) if chunks.is_empty() => (Stage::Over, Some(Some(Ok(Batch::End(answer))))),
                Stage::Ending(chunks, answer) => {
                    (Stage::Ending(Vec::new(), answer), Some(Some(Ok(Batch::Chunks(chunks)))))
                }
                Stage::Following { seat, is_given, rejoins } => match self.follow(seat, is_given, rejoins) {
                    Followed::Waiting(stage) => {
                        inner.stage = stage;
                        return Poll::Waiting;
                    }
                    Followed::Found(stage, found) => (stage, found.map(Some)),
                },
            };
            inner.stage = stage;
            if let Some(found) = found {
                if let (None, Some(Ok(Batch::Chunks(_)))) = (&inner.origin, &found) {
                    inner.origin = self.origin_of(&inner.stage);
                }
                return Poll::Ready(found);
            }
        }
    }

    fn origin_of(&self, stage: &Stage<K>) -> Option<Origin> {
        match stage {
            Stage::Following { seat, .. } => {
                let (deployment, attempts) = seat.reader.speaker();
                let is_joined = seat.flight.is_joined();
                let cache = if is_joined { CacheStatus::Joined } else { self.prepared.status_of(&deployment) };
                Some(Origin { deployment, cache, attempts })
            }
            Stage::Ending(_, answer) => Some(Origin {
                deployment: answer.deployment.clone(),
                cache: answer.cache,
                attempts: answer.attempts.len(),
            }),
            Stage::Cancelled | Stage::Over => None,
        }
    }

    /// One step of reading along.
    fn follow(&self, seat: Seat<Answer<K>>, is_given: bool, rejoins: u32) -> Followed<K> {
        // Before the log: what was said before the outcome is in the log when the outcome can be seen.
        let outcome = seat.flight.outcome();
        match (seat.reader.take(), outcome) {
            (Found::Chunks(chunks), _) => {
                let stage = Stage::Following { seat, is_given: true, rejoins };
                Followed::Found(stage, Some(Ok(Batch::Chunks(chunks))))
            }
            (Found::Interrupted(error), _) => Followed::Found(Stage::Over, Some(Err(error))),
            (Found::Nothing, None) => Followed::Waiting(Stage::Following { seat, is_given, rejoins }),
            (Found::Nothing, Some(outcome)) => self.end(&seat, is_given, rejoins, settled(outcome)),
        }
    }

    fn end(
        &self,
        seat: &Seat<Answer<K>>,
        is_given: bool,
        rejoins: u32,
        outcome: Result<Answer<K>, Error>,
    ) -> Followed<K> {
        let is_joined = seat.flight.is_joined();
        match outcome {
            Ok(answer) => {
                let mut answer = if is_joined { joined(answer) } else { answer };
                if is_joined {
                    self.prepared.note_joined();
                }
                answer.latency = self.prepared.started.elapsed();
                // A call that nobody streamed, or one that was answered by the cache, said nothing on the way.
                let chunks = if is_given { Vec::new() } else { chunks(&answer, self.reading) };
                Followed::Found(Stage::Ending(chunks, Box::new(answer)), None)
            }
            Err(error) if is_joined && !is_given && !self.is_own(&error, seat, rejoins) => {
                let rejoins = rejoins + 1;
                // A router that is closed meanwhile ends what it has begun.
                let guard = self.prepared.core.begin().ok();
                let seat = self.prepared.fly(self.reading, self.wish, Box::new(guard), rejoins);
                seat.start();
                Followed::Found(Stage::Following { seat, is_given, rejoins }, None)
            }
            Err(error) => Followed::Found(Stage::Over, Some(Err(error))),
        }
    }

    fn is_own(&self, error: &Error, seat: &Seat<Answer<K>>, rejoins: u32) -> bool {
        self.prepared.is_own(error, seat.flight.companion(), rejoins, true)
    }

    // A std mutex: nothing is awaited while it is held.
    fn inner(&self) -> MutexGuard<'_, Inner<K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Streaming> Inner<K> {
    /// Tells one seat from the next.
    fn rejoins(&self) -> u32 {
        match self.stage {
            Stage::Following { rejoins, .. } => rejoins,
            _ => 0,
        }
    }
}

/// The chunks of an answer that came whole, for those who read it so.
fn chunks<K: Streaming>(answer: &Answer<K>, reading: Reading) -> Vec<Chunk> {
    if reading == Reading::Verbatim { answer.value.events() } else { answer.value.chunks() }
}

/// What one step of reading along gave.
enum Followed<K: Streaming> {
    Waiting(Stage<K>),
    /// Something, or the next stage to be asked.
    Found(Stage<K>, Option<Result<Batch<K>, Error>>),
}

impl<K: Streaming> std::fmt::Debug for AnswerStream<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerStream").field("kind", &K::NAME).field("wish", &self.wish).finish_non_exhaustive()
    }
}
