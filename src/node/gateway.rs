//! What `thryd/fetch` asks: requests as they came in, answers as they go out.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use serde::Serialize;
use serde_json::json;

use super::letter::{Kind as LetterKind, Letter, Mail};
use super::mailbox::lock;
use super::pending::{Order, Pending};
use super::reply::{bug, guarded, reply};
use super::router::NativeRouter;
use super::runtime;
use crate::error::{Error, ErrorKind, Invalid};
use crate::gateway::{Door, Part, Place, Refusal, Responding, Response, ResponseStream, models, place};
use crate::route::Hosts;

#[napi]
impl NativeRouter {
    /// A letter with the whole answer, or with the beginning of a streamed one, whose rest `pullResponse` gives; or it comes
    /// by mail.
    #[napi]
    pub fn respond(&self, id: u32, body: Uint8Array, options: Option<String>) -> Option<Letter> {
        let begun = guarded(|| {
            let _runtime = runtime::handle().enter();
            self.router()?.respond(&body, options.as_deref())
        });
        match begun {
            // A defect is an answer; options that are none are thrown at the host, who gave them.
            Err(error) if matches!(error.kind(), ErrorKind::Bug(_)) => Some(whole(id, defect(&error)).into()),
            Err(error) => Some(Mail::failed(id, &error).into()),
            Ok((Responding::Ready(response), _)) => Some(whole(id, response).into()),
            Ok((Responding::Pending(call), interest)) => {
                self.pend(id, interest, async move {
                    let answered = AssertUnwindSafe(call).catch_unwind().await;
                    Ok(whole(id, answered.unwrap_or_else(|panic| defect(&bug(&*panic)))))
                });
                None
            }
            Ok((Responding::Stream(stream), _)) => {
                let stream = Arc::<ResponseStream>::from(stream);
                lock(&self.pending.0.responses).insert(id, Arc::clone(&stream));
                runtime::spawn(async move { stream.start() });
                self.pull_response(id, 1)
            }
        }
    }

    /// What has arrived of a streamed answer, or null: then it comes by mail, and what comes after it too, in at most so many
    /// letters.
    #[napi]
    pub fn pull_response(&self, id: u32, letters: u32) -> Option<Letter> {
        let stream = lock(&self.pending.0.responses).get(&id).cloned();
        let Some(stream) = stream else {
            return Some(Mail::failed(id, &ErrorKind::Closed("stream").into()).into());
        };
        let arrived = guarded(|| {
            let _runtime = runtime::handle().enter();
            Ok(stream.try_next())
        });
        if let Some(part) = arrived.unwrap_or_else(|error| Some(stream.fail(error))) {
            return Some(self.pending.part(id, part).into());
        }
        let pending = Arc::downgrade(&self.pending.0);
        // Weak, so that a stream that is cancelled meanwhile is not kept alive by its own reader.
        let stream = Arc::downgrade(&stream);
        let post = self.post.clone();
        self.post.spawn(id, async move {
            let mut order = Order::new(letters);
            loop {
                let part = match stream.upgrade() {
                    Some(stream) => AssertUnwindSafe(stream.next())
                        .catch_unwind()
                        .await
                        .unwrap_or_else(|panic| stream.fail(bug(&*panic))),
                    None => Part::Broken(String::new(), ErrorKind::Cancelled.into()),
                };
                let pending = pending.upgrade().ok_or(ErrorKind::Cancelled)?;
                let mail = Pending(pending).part(id, part);
                if order.is_done(&mail) {
                    return Ok(mail);
                }
                post.send(Mail { kind: LetterKind::More, ..mail });
            }
        });
        None
    }
}

impl Pending {
    /// A part of an answer as a letter; one that has ended is forgotten.
    fn part(&self, id: u32, part: Part) -> Mail {
        let (mail, raw) = match part {
            Part::Begin(head, text) => (Mail::new(LetterKind::Batch, id, Some(text_of(&head))), text),
            Part::More(text) => return Mail { raw: Some(text), ..Mail::new(LetterKind::Batch, id, None) },
            Part::End(text) => (Mail::new(LetterKind::End, id, None), text),
            Part::Broken(text, error) => (Mail::failed(id, &error), text),
            Part::Refused(response) => {
                lock(&self.0.responses).remove(&id);
                return whole(id, response);
            }
        };
        if mail.kind != LetterKind::Batch {
            lock(&self.0.responses).remove(&id);
        }
        Mail { raw: Some(raw), ..mail }
    }
}

fn whole(id: u32, response: Response) -> Mail {
    // As bytes, because it may be megabytes that JavaScript does not look at.
    Mail {
        bytes: Some(response.body.into_bytes()),
        ..Mail::new(LetterKind::Settled, id, Some(text_of(&response.head)))
    }
}

/// The answer for a panic.
fn defect(error: &Error) -> Response {
    Refusal::of(error, &Hosts::default()).into()
}

/// The reply of something that gives an answer, whatever happens.
fn answering(work: impl FnOnce() -> Response) -> String {
    reply(|| Ok(guarded(|| Ok(work())).unwrap_or_else(|error| defect(&error))))
}

fn text_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data serialises")
}

/// `{ kind }`, `{ models }` or `{ refused }`.
#[napi]
pub fn gateway_place(door: String) -> String {
    reply(|| {
        let door: Door =
            serde_json::from_str(&door).map_err(|error| Invalid::type_error("door", "a request", error))?;
        Ok(match guarded(|| Ok(place(&door))) {
            Ok(Ok(Place::Kind(kind))) => json!({ "kind": kind }),
            Ok(Ok(Place::Models(wanted))) => json!({ "models": wanted }),
            Ok(Err(refusal)) => json!({ "refused": Response::from(refusal) }),
            Err(error) => json!({ "refused": defect(&error) }),
        })
    })
}

/// The groups of several routers.
#[napi]
pub fn gateway_models(groups: Vec<String>, wanted: Option<String>) -> String {
    answering(|| models(&groups, wanted.as_deref()))
}

/// What is said for a reason that only the face can see.
#[napi]
pub fn gateway_refusal(reason: String, limit: Option<f64>) -> String {
    reply(|| {
        Ok(Response::from(match reason.as_str() {
            "unauthorized" => Refusal::unauthorized(),
            "too-large" => Refusal::too_large(limit.unwrap_or_default()),
            "unreadable" => Refusal::unreadable(),
            "gone" => Refusal::gone(),
            other => return Err(Invalid::type_error("reason", "a reason", other).into()),
        }))
    })
}
