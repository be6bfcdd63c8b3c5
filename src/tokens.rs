//! Stub: token counts; the only file that names tiktoken_rs.
use crate::error::Invalid;
use crate::kinds::Prompt;

/// Tokens of a text as the model's tokenizer counts them.
///
/// # Errors
/// If the model is unknown, or the text is one that cannot be counted.
pub fn count(_text: &str, _model: &str) -> Result<u64, Invalid> {
    todo!()
}

/// Tokens of a prompt: exact where the model's tokenizer is known; for others o200k_base stands in. Never fails.
#[must_use]
pub fn count_prompt(_prompt: &Prompt, _model: &str) -> u64 {
    todo!()
}
