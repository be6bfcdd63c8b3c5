//! What a chat costs: its texts, their framing and its images.

use super::{images, known, remembered};
use crate::error::Invalid;
use crate::kinds::messages_prompt;

/// Tokens of OpenAI's `messages`, given as JSON: role, content, name, refusal, and name and arguments of tool calls,
/// each with its framing; images by the model's rule. Ids are not counted; neither are sound and files, whose cost
/// nobody publishes.
///
/// # Errors
/// A type error if the model is unknown or the messages have not that form, naming the place.
pub fn count_messages(messages: &str, model: &str) -> Result<u64, Invalid> {
    let encoding = known(model)?;
    let prompt = messages_prompt(messages)?;
    let overhead = prompt.overhead.saturating_add(images::count(&prompt.images, model));
    Ok(prompt.texts.iter().fold(overhead, |sum, text| sum.saturating_add(remembered::count(encoding, text))))
}
