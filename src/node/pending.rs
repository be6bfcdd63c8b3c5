//! Calls that are pending, and how a stream that is waited for tells that something has come.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::Wake;

use futures_util::FutureExt;

use super::any_stream::{AnyStream, Arrived};
use super::letter::{Kind as LetterKind, Letter, Mail};
use super::mailbox::{Post, lock};
use super::reply::bug;
use super::runtime::{self, Task};
use crate::error::{ErrorKind, Result};
use crate::gateway::ResponseStream;
use crate::options::Interest;

/// Calls that are pending, by number. Dropped with its router, it cancels them.
#[derive(Clone, Default)]
pub struct Pending(pub Arc<PendingCalls>);

#[derive(Default)]
pub struct PendingCalls {
    pub calls: Mutex<HashMap<u32, (Task, Interest)>>,
    pub streams: Mutex<HashMap<u32, Arc<dyn AnyStream>>>,
    pub responses: Mutex<HashMap<u32, Arc<ResponseStream>>>,
}

impl Drop for PendingCalls {
    fn drop(&mut self) {
        lock(&self.calls).values().for_each(|(task, _)| task.abort());
        // Whoever waits for what comes of them holds them, and would wait on.
        for (_, stream) in lock(&self.streams).drain() {
            runtime::call(move || stream.cancel());
        }
        for (_, response) in lock(&self.responses).drain() {
            runtime::call(move || response.cancel());
        }
    }
}

/// A call's place among those that are pending, left however it ends: also by a panic.
pub struct Place {
    pub pending: Weak<PendingCalls>,
    pub id: u32,
    pub interest: Interest,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Also of one whose clock ran out before those of others who wait for the same.
        self.interest.lose();
        if let Some(pending) = self.pending.upgrade() {
            lock(&pending.calls).remove(&self.id);
        }
    }
}

impl Pending {
    /// What has come of a stream, as a letter.
    pub fn letter(&self, id: u32, arrived: Arrived) -> Letter {
        self.mail(id, arrived).unwrap_or_else(|error| Mail::failed(id, &error)).into()
    }

    /// What has come of a stream, addressed; a stream that has ended is forgotten.
    fn mail(&self, id: u32, arrived: Arrived) -> Result<Mail> {
        if arrived.is_end {
            lock(&self.0.streams).remove(&id);
        }
        arrived.mail.map(|mail| Mail { id, ..mail })
    }
}

/// Bytes after which a pull brings no further letter: they wait in JavaScript's memory for a reader who pauses.
const LETTERS_BYTES: usize = 64 << 10;

/// How many letters one pull still brings.
pub struct Order {
    letters: u32,
    bytes: usize,
}

impl Order {
    pub fn new(letters: u32) -> Self {
        Self { letters, bytes: LETTERS_BYTES }
    }

    /// Whether this letter is the last, because it ends the stream or the order.
    pub fn is_done(&mut self, mail: &Mail) -> bool {
        let bytes = mail.text.iter().chain(&mail.raw).map(String::len).sum();
        self.letters = self.letters.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        mail.kind != LetterKind::Batch || self.letters == 0 || self.bytes == 0
    }
}

/// A pull that found nothing, or is about to: sends what comes from when it is woken, a few times.
pub struct Arrival {
    id: u32,
    post: Post,
    pending: Weak<PendingCalls>,
    /// Weak, so that a stream that is cancelled meanwhile is not kept alive by its own reader.
    stream: Weak<dyn AnyStream>,
    state: AtomicU8,
    /// Letters that it brings at most, so that not every chunk costs the JavaScript thread a call.
    letters: u32,
}

/// Nobody waits yet, because the pull itself may still find something.
const ASKING: u8 = 0;
/// It found nothing: what comes is sent.
const WAITING: u8 = 1;
/// It was woken before it knew.
const WOKEN: u8 = 2;
/// It found something, or what has come is being sent: whatever wakes it later is for the next pull.
const DONE: u8 = 3;

impl Arrival {
    pub fn new(id: u32, post: &Post, pending: &Arc<PendingCalls>, stream: &Arc<dyn AnyStream>, letters: u32) -> Self {
        let (pending, stream) = (Arc::downgrade(pending), Arc::downgrade(stream));
        Self { id, post: post.clone(), pending, stream, state: AtomicU8::new(ASKING), letters }
    }

    /// The pull found something itself.
    pub fn is_found(&self) {
        self.state.store(DONE, Ordering::SeqCst);
    }

    /// The pull found nothing.
    pub fn wait(&self) {
        if self.state.swap(WAITING, Ordering::SeqCst) == WOKEN {
            self.wake_once();
        }
    }

    fn wake_once(&self) {
        let moved = |from, to| self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if moved(ASKING, WOKEN) || !moved(WAITING, DONE) {
            return;
        }
        let (id, pending, stream) = (self.id, Weak::clone(&self.pending), Weak::clone(&self.stream));
        let (post, most) = (self.post.clone(), self.letters);
        // Not here: whoever wakes may hold a lock. And what woke may have been nothing, so that it is waited on.
        self.post.spawn(id, async move {
            let mut order = Order::new(most);
            loop {
                let mail = arrived(id, &stream, &pending).await?;
                if order.is_done(&mail) {
                    return Ok(mail);
                }
                post.send(Mail { kind: LetterKind::More, ..mail });
            }
        });
    }
}

/// What comes next of a stream.
async fn arrived(id: u32, stream: &Weak<dyn AnyStream>, pending: &Weak<PendingCalls>) -> Result<Mail> {
    let arrived = match stream.upgrade() {
        // Caught here, so that a stream with a defect is forgotten like any other that has failed.
        Some(stream) => AssertUnwindSafe(stream.next())
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| Arrived { mail: Err(bug(&*panic)), is_end: true }),
        None => Arrived { mail: Err(ErrorKind::Cancelled.into()), is_end: true },
    };
    let pending = pending.upgrade().ok_or(ErrorKind::Cancelled)?;
    Pending(pending).mail(id, arrived)
}

impl Wake for Arrival {
    fn wake(self: Arc<Self>) {
        self.wake_once();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_once();
    }
}
