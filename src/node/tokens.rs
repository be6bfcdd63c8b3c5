//! Counting tokens, at once or off the JavaScript thread.

use napi_derive::napi;

use super::mailbox::Mailbox;
use super::reply::reply;
use crate::error::Result;
use crate::tokens;

fn count(input: &str, model: Option<&str>) -> Result<u64> {
    Ok(tokens::count_input(input, model)?)
}

/// Tokens of a text or of messages, given as JSON.
#[napi]
pub fn count_tokens(input: String, model: Option<String>) -> String {
    reply(|| count(&input, model.as_deref()))
}

/// The same, settled by letter.
#[napi]
pub fn count_tokens_async(mailbox: &Mailbox, id: u32, input: String, model: Option<String>) {
    mailbox.post().settle(id, async move {
        match tokio::task::spawn_blocking(move || count(&input, model.as_deref())).await {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    });
}
