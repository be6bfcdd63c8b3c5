//! A streamed answer between the call that makes it and the reader: what has arrived, taken in batches.
//!
//! Bounded in bytes, so that a reader who pauses stops the socket instead of filling memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::answer::Answer;
use crate::error::{Error, ErrorKind};
use crate::kinds::{Chunk, Completion};

/// Most bytes of chunks that wait for a slow reader.
const PIPE_BYTES: usize = 256 << 10;

/// What one read of a stream gives.
#[derive(Clone, Debug)]
pub enum Batch {
    /// Chunks that have arrived since the last read.
    Chunks(Vec<Chunk>),
    /// The end, with the whole answer.
    End(Box<Answer<Completion>>),
}

/// A completion as it comes. Dropping it cancels the call and closes the socket.
#[derive(Debug)]
pub struct CompletionStream {
    pipe: Arc<Pipe>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    readable: Notify,
    writable: Notify,
}

#[derive(Debug, Default)]
struct State {
    chunks: Vec<Chunk>,
    bytes: usize,
    end: Option<Result<Box<Answer<Completion>>, Error>>,
    is_over: bool,
}

/// The writing end, and what it has delivered.
#[derive(Debug)]
pub(crate) struct Sink {
    pipe: Arc<Pipe>,
    /// Content that the reader was given since the start, or the last restart.
    pub delivered: String,
    /// Whether the reader was given anything since the start, or the last restart.
    pub has_delivered: bool,
    /// Set while a new attempt has not delivered yet: the deployment that goes on.
    restarting: Option<String>,
}

impl CompletionStream {
    pub(crate) fn new(pipe: Arc<Pipe>, task: AbortHandle) -> Self {
        Self { pipe, task }
    }

    /// What has arrived, waiting for something to arrive. `None` after the end or an error.
    ///
    /// # Errors
    /// What ended the stream early; once.
    pub async fn next(&self) -> Option<Result<Batch, Error>> {
        loop {
            let readable = self.pipe.readable.notified();
            match self.try_next() {
                Poll::Ready(batch) => return batch,
                Poll::Waiting => readable.await,
            }
        }
    }

    /// Cancels the call and closes the socket; the stream ends.
    pub fn cancel(&self) {
        self.task.abort();
    }

    /// What has arrived, without waiting.
    #[must_use]
    pub fn try_next(&self) -> Poll {
        self.pipe.take()
    }
}

/// What [`CompletionStream::try_next`] found.
#[derive(Debug)]
pub enum Poll {
    /// As [`CompletionStream::next`].
    Ready(Option<Result<Batch, Error>>),
    /// Nothing yet.
    Waiting,
}

impl Drop for CompletionStream {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Pipe {
    fn take(&self) -> Poll {
        let mut state = self.state();
        if !state.chunks.is_empty() {
            state.bytes = 0;
            let chunks = std::mem::take(&mut state.chunks);
            self.writable.notify_one();
            return Poll::Ready(Some(Ok(Batch::Chunks(chunks))));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        match state.end.take() {
            None => Poll::Waiting,
            Some(end) => {
                state.is_over = true;
                Poll::Ready(Some(end.map(Batch::End)))
            }
        }
    }

    /// Ends the stream; the first end counts.
    pub fn end(&self, end: Result<Answer<Completion>, Error>) {
        let mut state = self.state();
        if state.end.is_none() && !state.is_over {
            state.end = Some(end.map(Box::new));
        }
        drop(state);
        self.readable.notify_one();
    }

    async fn push(&self, mut chunks: Vec<Chunk>) {
        let bytes: usize = chunks.iter().map(size).sum();
        loop {
            let writable = self.writable.notified();
            {
                let mut state = self.state();
                if state.bytes == 0 || state.bytes + bytes <= PIPE_BYTES {
                    state.bytes += bytes.max(1);
                    state.chunks.append(&mut chunks);
                    drop(state);
                    self.readable.notify_one();
                    return;
                }
            }
            writable.await;
        }
    }

    // A std mutex: nothing is awaited while it is held.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the pipe if its call ends without saying how: the task was aborted, or it panicked.
pub(crate) struct EndGuard(pub Arc<Pipe>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        let error = if std::thread::panicking() {
            ErrorKind::Bug("the streamed call panicked".to_owned())
        } else {
            ErrorKind::Cancelled
        };
        self.0.end(Err(error.into()));
    }
}

impl Sink {
    pub fn new(pipe: Arc<Pipe>) -> Self {
        Self { pipe, delivered: String::new(), has_delivered: false, restarting: None }
    }

    /// Another deployment begins again what the reader has seen part of.
    pub fn restart(&mut self, deployment: &str) {
        if self.has_delivered {
            self.restarting = Some(deployment.to_owned());
        }
    }

    /// Hands chunks to the reader, waiting while too much is unread.
    pub async fn push(&mut self, chunks: Vec<Chunk>) {
        if let Some(deployment) = self.restarting.take() {
            let discarded = std::mem::take(&mut self.delivered);
            self.pipe.push(vec![Chunk::Restart { discarded, deployment }]).await;
        }
        self.has_delivered |= !chunks.is_empty();
        for chunk in &chunks {
            if let Chunk::Content { delta } = chunk {
                self.delivered.push_str(delta);
            }
        }
        self.pipe.push(chunks).await;
    }
}

fn size(chunk: &Chunk) -> usize {
    match chunk {
        Chunk::Content { delta } | Chunk::Reasoning { delta } => delta.len(),
        Chunk::ToolCall { id, name, arguments, .. } => {
            arguments.len() + id.as_ref().map_or(0, String::len) + name.as_ref().map_or(0, String::len)
        }
        Chunk::Restart { discarded, .. } => discarded.len(),
    }
}
