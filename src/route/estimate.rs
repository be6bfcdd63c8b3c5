//! What a request may cost, counted before it is sent; and what an answer cost whose provider does not say.

use std::sync::Arc;

use super::group::Demand;
use crate::kinds::{Kind, Prompt, Usage};
use crate::tokens;

/// Texts of at least this many bytes are counted off the I/O thread.
const LONG_TEXT_BYTES: usize = 16 << 10;

/// Prompt tokens and the most that the answer may be. Long texts, and the first use of a vocabulary, leave this thread.
pub(crate) async fn count_prompt<K: Kind>(request: &Arc<K::Request>, model: String) -> (u64, Option<u64>) {
    let is_long = request.as_ref().as_ref().len() >= LONG_TEXT_BYTES;
    let request = Arc::clone(request);
    let count = move |model: &str| {
        let prompt = K::prompt(&request);
        (tokens::count_prompt(&prompt, model), prompt.completion)
    };
    run(is_long, model, count).await
}

/// What prompt and answer can take together, without counting; `u64::MAX` if there is no telling.
pub(crate) fn bound<K: Kind>(request: &Arc<K::Request>) -> u64 {
    if request.as_ref().as_ref().len() >= LONG_TEXT_BYTES {
        return u64::MAX;
    }
    // No token is shorter than a byte. Pictures and tools count by rules of their own.
    let prompt = K::prompt(request);
    let is_text = prompt.images.is_empty() && prompt.tools.is_empty();
    let completion = prompt.completion.unwrap_or(0);
    let texts = prompt.texts.iter().map(|text| *tokens::bounds(text).end());
    if is_text { texts.fold(prompt.overhead.saturating_add(completion), u64::saturating_add) } else { u64::MAX }
}

/// The usage of an answer whose provider did not report it.
pub(crate) async fn estimate<K: Kind>(request: &Arc<K::Request>, value: &K, demand: &Demand, model: &str) -> Usage {
    let prompt = match demand.prompt {
        0 => count_prompt::<K>(request, model.to_owned()).await.0,
        known => known,
    };
    let (text, model) = (value.text().into_owned(), model.to_owned());
    let is_long = text.len() >= LONG_TEXT_BYTES;
    let completion = Prompt { texts: vec![text.into()], ..Prompt::default() };
    let completion = run(is_long, model, move |model| tokens::count_prompt(&completion, model)).await;
    Usage::estimated(prompt, completion)
}

/// Counts here, or on a thread for blocking work if that takes long.
async fn run<T: Send + 'static>(is_long: bool, model: String, count: impl FnOnce(&str) -> T + Send + 'static) -> T {
    if !is_long && tokens::is_loaded(&model) {
        return count(&model);
    }
    match tokio::task::spawn_blocking(move || count(&model)).await {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
