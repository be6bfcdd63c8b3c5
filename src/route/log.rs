//! What a call in flight has said so far, for everyone who reads it: who comes late gets what has already come, then the
//! live tail.
//!
//! The call writes; each reader has a place of its own. Readers differ in what they want when the call has to begin
//! again elsewhere after they were shown something ([`Wish`]). The pace is that of the fastest reader: a slow one holds up
//! nobody, and costs nothing that is not kept for late comers anyway. When all pause, the call does, and so its socket.
//!
//! Modelled in `tests/loom_joining.rs`.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::error::Error;
use crate::kinds::{Chunk, Script};
use crate::sync::{Mutex, lock};

/// Most bytes of chunks that wait for the fastest reader. With those on their way to JavaScript they are 256 KiB.
const AHEAD_BYTES: usize = 192 << 10;

/// How somebody follows a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Sees only the whole answer, and nothing of how it came about.
    Whole,
    /// Sees every chunk; wants to be told if those that were shown will not be continued, and no more.
    Error,
    /// Sees every chunk; if those that were shown will not be continued, wants to be told to drop them, and goes on.
    Restart,
}

/// See the module.
#[derive(Default)]
pub struct Log(Mutex<State>);

#[derive(Default)]
struct State {
    /// What the current attempt has said. Shared only when it says no more.
    script: Arc<Script>,
    /// The deployment that says it, if the reader may have to be told.
    deployment: String,
    attempts: usize,
    /// What the script says is not continued: the next chunk begins another.
    is_broken: bool,
    readers: BTreeMap<u64, Follower>,
    next_reader: u64,
    /// The call, while it waits for a reader.
    writer: Option<Waker>,
    /// Who waits for [`Log::abandoned`].
    watcher: Option<Waker>,
    is_over: bool,
}

/// A reader, as the log knows it.
struct Follower {
    wish: Wish,
    /// How many chunks of its script it has.
    place: usize,
    /// It came when the script was broken already: it was not shown it and will not be.
    is_fresh: bool,
    /// A script that is not continued, and what the reader is told at its end.
    broken: Option<(Arc<Script>, Break)>,
    waker: Option<Waker>,
    /// What is held until the call is over, or the reader gone.
    held: Box<dyn Send>,
}

#[derive(Clone)]
enum Break {
    Interrupted(Error),
    Restarted,
}

/// A place in the log. Dropping it leaves.
pub struct Reader {
    log: Arc<Log>,
    number: u64,
}

impl Log {
    /// Follows the call from its beginning. `held` is kept until the call is over or the reader is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>, wish: Wish, held: Box<dyn Send>) -> Reader {
        let mut state = lock(&self.0);
        let number = state.next_reader;
        state.next_reader += 1;
        // Over already: nothing is held any more.
        let held: Box<dyn Send> = if state.is_over { Box::new(()) } else { held };
        let (is_fresh, place) = (state.is_broken, if state.is_broken { state.script.len() } else { 0 });
        state.readers.insert(number, Follower { wish, place, is_fresh, broken: None, waker: None, held });
        let writer = state.writer.take();
        drop(state);
        // Whoever sees only the whole answer does not want the call to wait for the others.
        wake(writer);
        Reader { log: Arc::clone(self), number }
    }

    /// A new attempt begins, on this deployment.
    pub fn begin(&self, deployment: &str) {
        let mut state = lock(&self.0);
        deployment.clone_into(&mut state.deployment);
    }

    /// Another attempt is made.
    pub fn count_attempt(&self) {
        lock(&self.0).attempts += 1;
    }

    /// Whether somebody was shown something of the answer so far.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        let state = lock(&self.0);
        !state.script.is_empty() && state.readers.values().any(Follower::is_shown)
    }

    /// What was said is not continued by the attempt that said it. Readers who want no other end, when they have read what
    /// there is, with the error that `tell` makes of the content.
    ///
    /// # Errors
    /// The content, if nobody is left who wants the call to go on.
    pub fn interrupt(&self, tell: impl Fn(String) -> Error) -> Result<(), String> {
        let mut state = lock(&self.0);
        if state.script.is_empty() {
            return Ok(());
        }
        state.is_broken = true;
        let script = Arc::clone(&state.script);
        let mut wakers: Vec<_> = state.watcher.take().into_iter().collect();
        // With nobody there, somebody is still on the way.
        let mut is_wanted = state.readers.is_empty();
        for reader in state.readers.values_mut().filter(|reader| !reader.is_told()) {
            if reader.wish == Wish::Error && !reader.is_fresh {
                // A script that it has not finished is what it was shown last.
                let shown = reader.broken.take().map_or_else(|| Arc::clone(&script), |(script, _)| script);
                let error = tell(shown.content());
                reader.broken = Some((shown, Break::Interrupted(error)));
                wakers.extend(reader.waker.take());
            } else {
                is_wanted = true;
            }
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        if is_wanted { Ok(()) } else { Err(script.content()) }
    }

    /// Whether anything was said.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !lock(&self.0).script.is_empty()
    }

    /// Waits until nobody is left but readers who were told that it is over for them.
    pub async fn abandoned(&self) {
        poll_fn(|context| {
            let mut state = lock(&self.0);
            if !state.readers.is_empty() && state.readers.values().all(Follower::is_told) {
                return Poll::Ready(());
            }
            state.watcher = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Adds chunks, when the fastest reader is not too far behind.
    pub async fn push(&self, chunks: &[Chunk]) {
        poll_fn(|context| {
            let mut state = lock(&self.0);
            if state.is_ahead() {
                state.writer = Some(context.waker().clone());
                return Poll::Pending;
            }
            let wakers = state.push(chunks);
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
            Poll::Ready(())
        })
        .await;
    }

    /// The call is over; readers take what is left.
    pub fn end(&self) {
        let mut state = lock(&self.0);
        state.is_over = true;
        let held: Vec<_> = state.readers.values_mut().map(Follower::let_go).collect();
        drop(state);
        // Outside the lock: what is held may come back here when it is dropped.
        drop(held);
    }
}

impl State {
    /// Whether everyone who reads chunks has much to read, and nobody wants only the whole.
    fn is_ahead(&self) -> bool {
        let total = self.script.weight(self.script.len());
        let followers = || self.readers.values().filter(|reader| !reader.is_told());
        if followers().any(|reader| reader.wish == Wish::Whole) {
            return false;
        }
        let place = |reader: &Follower| if reader.broken.is_some() { 0 } else { reader.place };
        followers().map(place).max().is_some_and(|place| total - self.script.weight(place) > AHEAD_BYTES)
    }

    fn push(&mut self, chunks: &[Chunk]) -> Vec<Waker> {
        if std::mem::take(&mut self.is_broken) {
            self.begin_anew();
        }
        let script = Arc::make_mut(&mut self.script);
        for chunk in chunks {
            script.push(chunk);
        }
        self.readers.values_mut().filter_map(|reader| reader.waker.take()).collect()
    }

    fn take(&mut self, number: u64) -> Found {
        let Some(reader) = self.readers.get_mut(&number).filter(|reader| reader.wish != Wish::Whole) else {
            return Found::Nothing;
        };
        let script = reader.broken.as_ref().map_or(&self.script, |(script, _)| script);
        let chunks = script.since(reader.place);
        reader.place = script.len();
        if !chunks.is_empty() {
            return Found::Chunks(chunks);
        }
        match &reader.broken {
            None => Found::Nothing,
            Some((_, Break::Interrupted(error))) => Found::Interrupted(error.clone()),
            Some((script, Break::Restarted)) => {
                let restart = Chunk::Restart { discarded: script.content(), deployment: self.deployment.clone() };
                (reader.broken, reader.place) = (None, self.script.len());
                Found::Chunks(std::iter::once(restart).chain(self.script.since(0)).collect())
            }
        }
    }

    fn begin_anew(&mut self) {
        let script = std::mem::take(&mut self.script);
        for reader in self.readers.values_mut().filter(|reader| reader.broken.is_none()) {
            // Who is not done with an older script goes from there to the newest.
            if reader.is_shown() {
                reader.broken = Some((Arc::clone(&script), Break::Restarted));
            } else {
                (reader.place, reader.is_fresh) = (0, false);
            }
        }
    }
}

impl Follower {
    /// Whether the call is over for this reader, although it may have something to read.
    fn is_told(&self) -> bool {
        matches!(self.broken, Some((_, Break::Interrupted(_))))
    }

    /// Whether it sees what the script says, and is not done.
    fn is_shown(&self) -> bool {
        self.wish != Wish::Whole && !self.is_fresh && !self.is_told()
    }

    fn let_go(&mut self) -> Box<dyn Send> {
        std::mem::replace(&mut self.held, Box::new(()))
    }
}

/// What a reader finds.
#[derive(Debug)]
pub enum Found {
    /// Chunks that it did not have.
    Chunks(Vec<Chunk>),
    /// What it was shown is not continued; there is no more for it.
    Interrupted(Error),
    /// Nothing new.
    Nothing,
}

impl Reader {
    /// What has come since the last time.
    #[must_use]
    pub fn take(&self) -> Found {
        let mut state = lock(&self.log.0);
        let found = state.take(self.number);
        let writer = if matches!(found, Found::Chunks(_)) { state.writer.take() } else { None };
        drop(state);
        wake(writer);
        found
    }

    /// The deployment that said it last, and how many attempts there have been.
    #[must_use]
    pub fn speaker(&self) -> (String, usize) {
        let state = lock(&self.log.0);
        (state.deployment.clone(), state.attempts)
    }

    /// Wakes this one when something comes; the last one counts.
    pub fn register(&self, waker: &Waker) {
        if let Some(reader) = lock(&self.log.0).readers.get_mut(&self.number) {
            reader.waker = Some(waker.clone());
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = lock(&self.log.0);
        let gone = state.readers.remove(&self.number);
        // It may have been the one that the call waited for, or went on for.
        let (writer, watcher) = (state.writer.take(), state.watcher.take());
        drop(state);
        drop(gone);
        wake(writer);
        wake(watcher);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
