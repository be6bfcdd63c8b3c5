//! Token counts, exact where the model's tokenizer is published; the only file that names `tiktoken_rs`.
//!
//! Text is plain text: what looks like a special token (`<|endoftext|>`) is counted as the characters it is made of, as
//! tiktoken does with `disallowed_special=()`. A vocabulary is loaded when it is first needed, which takes some 20 ms
//! and 12 MiB; [`preload`] does it where that hurts nobody.
//!
//! Counting is this library's own: a text is [cut](cut) into pieces without a regex, most of which are
//! [one token](whole), the others are [encoded](merge). Any text is counted, in time in proportion to its length.
//! `tiktoken_rs` says which model has which encoding, and is what every count is held up against in tests.

mod characters;
mod counter;
mod cut;
mod images;
mod long;
mod merge;
mod messages;
mod pairs;
#[cfg(test)]
mod published;
mod recent;
mod remembered;
#[cfg(test)]
mod tests;
mod tools;
mod vocabulary;
mod whole;

use std::ops::RangeInclusive;
use std::sync::OnceLock;

use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};

use counter::Counter;

use crate::error::Invalid;
use crate::kinds::Prompt;

pub use crate::kinds::{MESSAGE_TOKENS, NAME_TOKENS, REPLY_TOKENS, messages_prompt};
pub use messages::count_messages;

/// The encoding that counts where nothing else is known: that of every OpenAI model since GPT-4o.
pub const DEFAULT_ENCODING: &str = "o200k_base";

/// Bytes of the longest token of any encoding.
const LONGEST_TOKEN: usize = 128;

/// What messages say about the names that can be counted for.
const KNOWN: &str = "a model of OpenAI (gpt-5*, gpt-4*, gpt-3.5*, gpt-oss*, o1*, o3*, o4*, chatgpt-4o*, \
    text-embedding-*, text-davinci-*, code-*, ft:*) or an encoding (o200k_base, cl100k_base, p50k_base, r50k_base)";

/// Tokens of a text as the model's tokenizer counts them. `model` is a model or an encoding, e.g. `gpt-4o` or
/// `cl100k_base`; a provider in front (`openai::gpt-4o`, `openai/gpt-4o`) is allowed.
///
/// # Errors
/// A type error of `model` if the model is unknown.
pub fn count(text: &str, model: &str) -> Result<u64, Invalid> {
    Ok(known(model)?.count(text))
}

/// Tokens of a text, for callers that need a number: exact where the model's tokenizer is known; for other models
/// [`DEFAULT_ENCODING`] stands in.
#[must_use]
pub fn count_or_bound(text: &str, model: &str) -> u64 {
    Encoding::of(model).unwrap_or(Encoding::O200k).count(text)
}

/// Between what numbers [`count_or_bound`] is for a text, without looking at it: no token has less than one byte or more
/// than 128.
#[must_use]
pub fn bounds(text: &str) -> RangeInclusive<u64> {
    text.len().div_ceil(LONGEST_TOKEN) as u64..=text.len() as u64
}

/// Tokens of a text or of chat messages, whichever the JSON `input` is; `model` is [`DEFAULT_ENCODING`] unless given.
///
/// # Errors
/// Those of [`count`] and [`count_messages`]; a type error of `input` if it is neither a string nor an array.
pub fn count_input(input: &str, model: Option<&str>) -> Result<u64, Invalid> {
    let model = model.unwrap_or(DEFAULT_ENCODING);
    if input.trim_start().starts_with('[') {
        return count_messages(input, model);
    }
    if let Ok(text) = serde_json::from_str::<String>(input) {
        return count(&text, model);
    }
    let value = serde_json::from_str(input).unwrap_or_default();
    Err(Invalid::type_error("input", "a string or an array of messages", crate::fields::describe(&value)))
}

/// Tokens of a prompt: texts, framing, images and tools, the last two by the rule that the maker of the model publishes.
///
/// Each text is counted as by [`count_or_bound`], and remembered if it is long; an image of unknown size (behind a URL) counts as the
/// largest that the rule allows, so that it never counts too little; tools count as their JSON text where no rule is
/// published.
#[must_use]
pub fn count_prompt(prompt: &Prompt<'_>, model: &str) -> u64 {
    let encoding = Encoding::of(model).unwrap_or(Encoding::O200k);
    let texts = prompt.texts.iter().map(|text| remembered::count(encoding, text));
    let tools = prompt.tools.iter().map(|tools| tools::count(tools, model));
    let images = std::iter::once(images::count(&prompt.images, model));
    texts.chain(tools).chain(images).fold(prompt.overhead, u64::saturating_add)
}

/// Loads the vocabulary that [`count_prompt`] uses for the model, if it is not loaded yet: some 20 ms of work.
pub fn preload(model: &str) {
    Encoding::of(model).unwrap_or(Encoding::O200k).counter();
}

/// Whether the vocabulary that [`count_prompt`] uses for the model is loaded, so that counting starts at once.
#[must_use]
pub fn is_loaded(model: &str) -> bool {
    Encoding::of(model).unwrap_or(Encoding::O200k).cell().get().is_some()
}

/// The encoding of a model, for callers that must not guess.
fn known(model: &str) -> Result<Encoding, Invalid> {
    Encoding::of(model).ok_or_else(|| {
        let shown: String = model.chars().take(80).collect();
        Invalid::type_error("model", KNOWN, format!("{shown:?}"))
    })
}

/// A vocabulary and the rule that cuts text into the pieces it is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Encoding {
    O200k,
    Cl100k,
    P50k,
    R50k,
}

impl Encoding {
    /// The encoding of that name, or of the model of that name, with or without a provider in front.
    fn of(model: &str) -> Option<Self> {
        let of_provider = || Self::named(model.split_once("::")?.1);
        let of_vendor = || Self::named(model.rsplit_once('/')?.1);
        Self::named(model).or_else(of_provider).or_else(of_vendor)
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "o200k_base" | "o200k_harmony" => return Some(Self::O200k),
            "cl100k_base" => return Some(Self::Cl100k),
            "p50k_base" | "p50k_edit" => return Some(Self::P50k),
            "r50k_base" => return Some(Self::R50k),
            _ => {}
        }
        // Harmony, edit and GPT-2 differ from their base in special tokens alone, and special tokens are not read here.
        get_tokenizer(name).map_or_else(
            || Self::relative(name),
            |tokenizer| match tokenizer {
                Tokenizer::O200kHarmony | Tokenizer::O200kBase => Some(Self::O200k),
                Tokenizer::Cl100kBase => Some(Self::Cl100k),
                Tokenizer::P50kBase | Tokenizer::P50kEdit => Some(Self::P50k),
                Tokenizer::R50kBase | Tokenizer::Gpt2 => Some(Self::R50k),
            },
        )
    }

    /// Models of a known family that tiktoken's table does not list by name. Longer prefixes come first.
    fn relative(name: &str) -> Option<Self> {
        const FAMILIES: [(&str, Encoding); 15] = [
            ("chatgpt-4o", Encoding::O200k),
            ("gpt-4o", Encoding::O200k),
            ("gpt-4.1", Encoding::O200k),
            ("gpt-4.5", Encoding::O200k),
            ("gpt-oss", Encoding::O200k),
            ("o1-", Encoding::O200k),
            ("o3-", Encoding::O200k),
            ("o4-", Encoding::O200k),
            ("gpt-4", Encoding::Cl100k),
            ("gpt-3.5", Encoding::Cl100k),
            ("gpt-35", Encoding::Cl100k),
            ("text-embedding-3-", Encoding::Cl100k),
            ("text-embedding-ada-002", Encoding::Cl100k),
            ("code-davinci-", Encoding::P50k),
            ("code-cushman-", Encoding::P50k),
        ];
        // The table of tiktoken-rs takes the base of a fine-tuned model (`ft:gpt-4o:...`) as this does.
        let name = name.strip_prefix("ft:").map_or(name, |rest| rest.split(':').next().unwrap_or(rest));
        if name == "o4" {
            return Some(Self::O200k);
        }
        FAMILIES.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, encoding)| *encoding)
    }

    fn cell(self) -> &'static OnceLock<Counter> {
        static COUNTERS: [OnceLock<Counter>; 4] = [const { OnceLock::new() }; 4];
        &COUNTERS[self as usize]
    }

    fn counter(self) -> &'static Counter {
        self.cell().get_or_init(|| Counter::load(self))
    }

    fn count(self, text: &str) -> u64 {
        self.counter().count(text)
    }
}
