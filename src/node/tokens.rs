//! Counting tokens, at once or off the JavaScript thread. A text crosses as it is, messages as JSON.

use napi::Either;
use napi_derive::napi;

use super::mailbox::Mailbox;
use super::reply::{guarded, refused};
use super::text::Text;
use crate::error::Result;
use crate::tokens;

fn of_text(text: &str, model: Option<&str>) -> Result<u64> {
    Ok(tokens::count(text, model.unwrap_or(tokens::DEFAULT_ENCODING))?)
}

fn of_input(input: &str, model: Option<&str>) -> Result<u64> {
    Ok(tokens::count_input(input, model)?)
}

/// The number alone, which needs no reading; a failure as a reply.
#[expect(clippy::cast_precision_loss, reason = "no text has 2^53 tokens")]
fn counted(count: impl FnOnce() -> Result<u64>) -> Either<f64, String> {
    match guarded(count) {
        Ok(tokens) => Either::A(tokens as f64),
        Err(error) => Either::B(refused(&error)),
    }
}

/// Tokens of a text, which is read as UTF-8: half a surrogate pair counts as U+FFFD.
#[napi]
pub fn count_text(#[napi(ts_arg_type = "string")] text: Text, model: Option<String>) -> Either<f64, String> {
    counted(|| of_text(&text, model.as_deref()))
}

/// Tokens of messages, given as JSON.
#[napi]
pub fn count_tokens(input: String, model: Option<String>) -> Either<f64, String> {
    counted(|| of_input(&input, model.as_deref()))
}

/// As `count_text`, settled by letter.
#[napi]
pub fn count_text_async(mailbox: &Mailbox, id: u32, text: String, model: Option<String>) {
    settle(mailbox, id, move || of_text(&text, model.as_deref()));
}

/// As `count_tokens`, settled by letter.
#[napi]
pub fn count_tokens_async(mailbox: &Mailbox, id: u32, input: String, model: Option<String>) {
    settle(mailbox, id, move || of_input(&input, model.as_deref()));
}

fn settle(mailbox: &Mailbox, id: u32, count: impl FnOnce() -> Result<u64> + Send + 'static) {
    mailbox.post().settle(id, async move {
        match tokio::task::spawn_blocking(count).await {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    });
}
