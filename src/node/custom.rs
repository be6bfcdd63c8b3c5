//! Providers written in JavaScript: a call goes out as a letter, its answer comes back piece by piece.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::letter::{Kind, Mail};
use super::mailbox::{Post, lock};
use crate::error::{Failure, FailureClass};
use crate::provider::{CustomCall, CustomHandler, CustomProvider, LocalFuture, Reply};

/// Most bytes of pieces that wait to be read.
const AHEAD_BYTES: usize = 256 << 10;

/// Numbers of calls: one series for all routers, because they share a mailbox.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// What JavaScript says to a call.
#[derive(Debug)]
pub enum Said {
    Whole(String),
    Event(String),
    End,
    Thrown(String),
}

/// The calls that JavaScript is working on.
#[derive(Clone, Default)]
pub struct CustomCalls(Arc<Mutex<Calls>>);

type Calls = HashMap<u32, Saying>;

/// What JavaScript says to one call.
struct Saying {
    sender: UnboundedSender<Said>,
    /// Bytes of pieces that were not read yet.
    ahead: usize,
    /// JavaScript says no more until it is told that there is room.
    is_waiting: bool,
}

/// One provider written in JavaScript.
pub struct Handler {
    pub name: String,
    /// The face's own number of the router, given back to it with every call.
    pub router: u32,
    pub post: Post,
    pub calls: CustomCalls,
}

/// A call that is open; dropped before its end, it tells JavaScript to stop.
struct Open {
    id: u32,
    said: UnboundedReceiver<Said>,
    post: Post,
    calls: CustomCalls,
    name: String,
}

impl CustomCalls {
    /// Hands on what JavaScript says; to a call that is over, nothing happens. Whether there is room for more.
    pub fn say(&self, id: u32, said: Said) -> bool {
        let mut calls = lock(&self.0);
        let Some(saying) = calls.get_mut(&id) else { return true };
        if let Said::Event(text) = &said {
            saying.ahead += text.len();
            saying.is_waiting = saying.ahead > AHEAD_BYTES;
        }
        let _receiver_is_gone = saying.sender.send(said);
        !saying.is_waiting
    }

    /// A piece of so many bytes was read. Whether there is room again, which JavaScript waits for.
    fn read(&self, id: u32, bytes: usize) -> bool {
        let mut calls = lock(&self.0);
        let Some(saying) = calls.get_mut(&id) else { return false };
        saying.ahead -= bytes;
        saying.ahead <= AHEAD_BYTES / 2 && std::mem::take(&mut saying.is_waiting)
    }

    fn open(&self) -> (u32, UnboundedReceiver<Said>) {
        let (sender, receiver) = unbounded_channel();
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        lock(&self.0).insert(id, Saying { sender, ahead: 0, is_waiting: false });
        (id, receiver)
    }
}

impl CustomHandler for Handler {
    fn call(&self, call: CustomCall) -> LocalFuture {
        let (id, said) = self.calls.open();
        let open = Open { id, said, post: self.post.clone(), calls: self.calls.clone(), name: self.name.clone() };
        let text = format!(
            "{{\"router\":{},\"provider\":{},\"kind\":\"{}\",\"stream\":{},\"request\":{}}}",
            self.router,
            serde_json::Value::from(self.name.as_str()),
            call.kind,
            call.is_stream,
            call.body_json
        );
        let post = self.post.clone();
        Box::pin(async move {
            post.send(Mail::new(Kind::Custom, id, Some(text)));
            let mut open = open;
            match open.next().await? {
                Some(Said::Whole(text)) => Ok(Reply::Whole(text.into())),
                Some(Said::Event(first)) => {
                    let rest = stream::unfold((Some(first), open), |(first, mut open)| async move {
                        let event = match first {
                            Some(first) => Ok(first),
                            None => match open.next().await {
                                Ok(Some(Said::Event(event))) => Ok(event),
                                Ok(Some(_) | None) => return None,
                                Err(failure) => Err(failure),
                            },
                        };
                        Some((event, (None, open)))
                    });
                    Ok(Reply::Events(Box::pin(rest)))
                }
                None | Some(Said::End | Said::Thrown(_)) => Err(open.failure("ended without an answer")),
            }
        })
    }
}

impl Open {
    /// What JavaScript says next; `None` at the end.
    async fn next(&mut self) -> Result<Option<Said>, Failure> {
        match self.said.recv().await {
            Some(Said::Thrown(text)) => {
                self.forget();
                Err(thrown(&text))
            }
            Some(Said::End) | None => {
                self.forget();
                Ok(None)
            }
            Some(said) => {
                match &said {
                    Said::Event(text) if self.calls.read(self.id, text.len()) => {
                        self.post.send(Mail::new(Kind::Continue, self.id, None));
                    }
                    Said::Whole(_) => drop(self.forget()),
                    _ => {}
                }
                Ok(Some(said))
            }
        }
    }

    fn failure(&self, what: &str) -> Failure {
        Failure::new(FailureClass::Truncated, format!("provider \"{}\" {what}", self.name))
    }

    fn forget(&self) -> bool {
        lock(&self.calls.0).remove(&self.id).is_some()
    }
}

/// What was thrown, as the face describes it: a message, and a status or a delay if it had them.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Thrown {
    message: String,
    status: Option<u16>,
    retry_after_ms: Option<f64>,
    /// Where it was thrown.
    body: Option<String>,
}

fn thrown(text: &str) -> Failure {
    let thrown: Thrown = serde_json::from_str(text).unwrap_or_default();
    let retry_after = thrown.retry_after_ms.and_then(|delay| Duration::try_from_secs_f64(delay / 1000.0).ok());
    let failure = CustomProvider::thrown(thrown.status, &thrown.message, retry_after);
    Failure { body: thrown.body.or(failure.body.clone()), ..failure }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.forget() {
            self.post.send(Mail::new(Kind::Abort, self.id, None));
        }
    }
}
