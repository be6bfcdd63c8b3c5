//! A hit as it crosses: one text, and numbers that both sides see. An object for each would cost as much as all the rest.

use napi::bindgen_prelude::{Float64Array, ToNapiValue};
use napi::sys;

use super::letter::Letter;
use super::text;
use crate::kinds::Usage;

/// So many numbers are on the desk (`js/desk.ts`).
const NUMBERS: usize = 13;

/// Where the milliseconds stand that it took: the one number that is another each time.
const LATENCY: usize = 5;

/// Words that JavaScript keeps, at most: names of deployments and models, and why answers end.
const WORDS: usize = 64;

/// What is said of a hit, made once and given as often as it is asked for.
#[derive(Debug)]
pub struct Line {
    /// What stands before the content in the provider's answer, what after it, and the content.
    text: Box<str>,
    is_ascii: bool,
    numbers: [f64; NUMBERS],
}

/// What a line is made of.
pub struct Said<'a> {
    pub around: (&'a str, &'a str),
    pub content: &'a str,
    /// The deployment, the model and the finish reason.
    pub words: [&'a str; 3],
    pub usage: Usage,
}

/// The words that lines name by their numbers.
#[derive(Debug, Default)]
pub struct Words(Vec<String>);

impl Words {
    fn number(&mut self, word: &str) -> Option<usize> {
        if let Some(number) = self.0.iter().position(|known| known == word) {
            return Some(number);
        }
        (self.0.len() < WORDS).then(|| {
            self.0.push(word.to_owned());
            self.0.len() - 1
        })
    }

    /// The word of this number.
    pub fn word(&self, number: usize) -> String {
        self.0.get(number).cloned().unwrap_or_default()
    }
}

impl Line {
    /// A line, if the hit can be told in one.
    #[allow(clippy::cast_precision_loss, reason = "lengths and counts of tokens stay far below 2^53")]
    pub fn new(said: &Said<'_>, words: &mut Words) -> Option<Self> {
        let (before, after) = said.around;
        let number = |count: Option<u64>| count.map_or(f64::NAN, |count| count as f64);
        let Usage { prompt_tokens, completion_tokens, total_tokens, .. } = said.usage;
        let [deployment, model, finish_reason] = said.words.map(|word| words.number(word));
        let text = [before, after, said.content].concat().into_boxed_str();
        Some(Self {
            is_ascii: text.is_ascii(),
            text,
            numbers: [
                units(before) as f64,
                units(after) as f64,
                deployment? as f64,
                model? as f64,
                finish_reason? as f64,
                0.0,
                prompt_tokens as f64,
                completion_tokens as f64,
                total_tokens as f64,
                number(said.usage.cached_prompt_tokens),
                number(said.usage.reasoning_tokens),
                said.usage.cost.unwrap_or(f64::NAN),
                f64::from(u8::from(said.usage.estimated)),
            ],
        })
    }

    /// Gives it to JavaScript: the numbers are put on the desk.
    ///
    /// # Errors
    /// If the text is longer than a string can be.
    pub fn give(&self, env: sys::napi_env, desk: &mut Float64Array, latency_ms: f64) -> napi::Result<sys::napi_value> {
        // SAFETY: written here alone, and read by nobody meanwhile, because this is JavaScript's own thread.
        let places = unsafe { desk.as_mut() };
        for (place, number) in places.iter_mut().zip(self.numbers) {
            *place = number;
        }
        if let Some(place) = places.get_mut(LATENCY) {
            *place = latency_ms;
        }
        text::string(env, &self.text, self.is_ascii)
    }
}

/// What `invoke` gives, if it gives something.
pub enum Told {
    /// The text of a line, whose numbers are on the desk.
    Line(sys::napi_value),
    Letter(Box<Letter>),
}

impl ToNapiValue for Told {
    unsafe fn to_napi_value(env: sys::napi_env, told: Self) -> napi::Result<sys::napi_value> {
        match told {
            Self::Line(text) => Ok(text),
            // SAFETY: it is the environment that this is called for.
            Self::Letter(letter) => unsafe { ToNapiValue::to_napi_value(env, *letter) },
        }
    }
}

/// How long JavaScript says that it is.
pub fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}
