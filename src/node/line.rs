//! A hit as it crosses: one text, and numbers that both sides see. An object for each would cost as much as all the rest.

use napi::bindgen_prelude::{Float64Array, ToNapiValue};
use napi::sys;

use super::letter::Letter;
use super::text;
use crate::kinds::Usage;

/// So many numbers are on the desk (`js/desk.ts`).
pub const NUMBERS: usize = 13;

/// Words that JavaScript keeps, at most: names of deployments and models, and why answers end.
const WORDS: usize = 64;

/// What crosses of one hit. Used again and again.
#[derive(Default)]
pub struct Line {
    /// What stands before the content in the provider's answer, what after it, and the content.
    text: Vec<u8>,
    numbers: [f64; NUMBERS],
    words: Vec<String>,
}

/// What a hit says.
pub struct Said<'a> {
    pub around: (&'a [u8], &'a [u8]),
    pub content: &'a str,
    /// The deployment, the model and the finish reason.
    pub words: [&'a str; 3],
    pub latency_ms: f64,
    pub usage: Usage,
}

impl Line {
    /// Writes a hit. Whether it can be told so.
    #[allow(clippy::cast_precision_loss, reason = "lengths and counts of tokens stay far below 2^53")]
    pub fn write(&mut self, said: &Said<'_>) -> bool {
        let mut numbers = [f64::NAN; NUMBERS];
        for (number, word) in numbers[2..].iter_mut().zip(said.words) {
            let Some(place) = self.place(word) else { return false };
            *number = place as f64;
        }
        let (before, after) = said.around;
        self.text.clear();
        for part in [before, after, said.content.as_bytes()] {
            self.text.extend_from_slice(part);
        }
        let is_ascii = self.text.is_ascii();
        for (number, part) in numbers.iter_mut().zip([before, after]) {
            let length = if is_ascii { Some(part.len()) } else { units(part) };
            let Some(length) = length else { return false };
            *number = length as f64;
        }
        numbers[5] = said.latency_ms;
        let usage = &said.usage;
        numbers[6] = usage.prompt_tokens as f64;
        numbers[7] = usage.completion_tokens as f64;
        numbers[8] = usage.total_tokens as f64;
        let known = [usage.cached_prompt_tokens, usage.reasoning_tokens].map(|tokens| tokens.map(|tokens| tokens as f64));
        for (number, known) in numbers[9..].iter_mut().zip(known.into_iter().chain([usage.cost])) {
            *number = known.unwrap_or(f64::NAN);
        }
        numbers[12] = f64::from(u8::from(usage.estimated));
        self.numbers = numbers;
        true
    }

    fn place(&mut self, word: &str) -> Option<usize> {
        if let Some(place) = self.words.iter().position(|known| known == word) {
            return Some(place);
        }
        (self.words.len() < WORDS).then(|| {
            self.words.push(word.to_owned());
            self.words.len() - 1
        })
    }

    /// The word at this place.
    pub fn word(&self, place: usize) -> String {
        self.words.get(place).cloned().unwrap_or_default()
    }

    /// Gives the line to JavaScript: the numbers are put on the desk.
    ///
    /// # Errors
    /// If the text is longer than a string can be.
    pub fn give(&self, env: sys::napi_env, desk: &mut Float64Array) -> napi::Result<sys::napi_value> {
        // SAFETY: the desk is written here alone, and read by nobody meanwhile: this is JavaScript's own thread.
        let numbers = unsafe { desk.as_mut() };
        for (place, number) in numbers.iter_mut().zip(self.numbers) {
            *place = number;
        }
        text::string(env, &self.text)
    }
}

/// What `invoke` gives, if it gives something.
pub enum Told {
    /// The text of a line, whose numbers are on the desk.
    Line(sys::napi_value),
    Letter(Letter),
}

impl ToNapiValue for Told {
    unsafe fn to_napi_value(env: sys::napi_env, told: Self) -> napi::Result<sys::napi_value> {
        match told {
            Self::Line(text) => Ok(text),
            // SAFETY: it is the environment that this is called for.
            Self::Letter(letter) => unsafe { ToNapiValue::to_napi_value(env, letter) },
        }
    }
}

/// How long JavaScript says that it is.
fn units(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok().map(|text| text.chars().map(char::len_utf16).sum())
}
