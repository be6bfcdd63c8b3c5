//! Where a text can be divided so that the parts' tokens are the whole's.
//!
//! Every encoding first cuts text into pieces with a regex and then encodes each piece on its own. So a place where the
//! regex always cuts, whatever stands further away, divides the counting too. Three things have to hold at a cut between
//! the characters `x` and `y`: no piece spans it; the pieces before it are the same when the text ends there (mind `$`
//! and `(?!\S)`); those after it are the same when the text begins there. The last holds wherever a piece begins, as no
//! regex looks behind, and every one matches each character (the pieces tile the text). The regexes:
//!
//! - r50k and p50k: `'(?:[sdmt]|ll|ve|re)`, ` ?\p{L}++`, ` ?\p{N}++`, ` ?[^\s\p{L}\p{N}]++`, `\s++$`, `\s+(?!\S)`, `\s`
//! - cl100k: `'(?i:[sdmt]|ll|ve|re)`, `[^\r\n\p{L}\p{N}]?+\p{L}++`, `\p{N}{1,3}+`, ` ?[^\s\p{L}\p{N}]++[\r\n]*+`,
//!   `\s++$`, `\s*[\r\n]`, `\s+(?!\S)`, `\s`
//! - o200k: `[^\r\n\p{L}\p{N}]?` before a word of letters and marks with an optional `(?i:'s|'t|'re|'ve|'m|'ll|'d)`,
//!   `\p{N}{1,3}`, ` ?[^\s\p{L}\p{N}]+[\r\n/]*`, `\s*[\r\n]+`, `\s+(?!\S)`, `\s+`
//!
//! The second condition holds wherever `x` is not white space: only alternatives of white space look ahead, a match of
//! theirs ends in white space, and it would have to end at the cut for the lookahead to see the difference. So each cut
//! asks for an `x` that is no white space, and the first condition remains:
//!
//! 1. *`y` is white space, and a line break only after a letter or digit.* White space stands first in a piece, or in a
//!    piece of white space alone, or is the line breaks that cl100k and o200k append to punctuation (o200k: and to the
//!    slashes after it). As `x` is a letter or digit it is not of such a run.
//! 2. *`x` is a letter, `y` ASCII punctuation but no apostrophe, or CJK punctuation, or an ASCII digit.* After a letter
//!    come letters, marks, or the apostrophe of an o200k contraction, nothing else.
//! 3. *`x` is an ASCII digit, `y` punctuation (an apostrophe too) or a letter.* Nothing but digits comes after a digit.
//!    A digit never is the character in front of a word (`[^\r\n\p{L}\p{N}]`), so the word begins at `y`.
//! 4. *`x` is ASCII punctuation, `y` an ASCII digit.* Only a space is taken in front of digits (r50k).

use crate::error::Invalid;

/// Bytes that a segment has before a place to end it is looked for. A few times the longest token, and far below what
/// costs the processor's cache.
const SEGMENT: usize = 4 << 10;

/// The longest segment that is counted. The vocabulary's merging takes about 80 bytes of memory for a byte of a piece.
const LONGEST_SEGMENT: usize = 2 << 20;

/// The most white-space characters in a row. The regex engine keeps up to one state for each and gives up, by a panic,
/// at a million.
const LONGEST_BLANK: usize = 500_000;

/// What a text cannot be counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// So many bytes with no place to divide them.
    Unbroken(usize),
    /// So many white-space characters in a row.
    Blank(usize),
}

impl Run {
    /// The refusal of `field` for this.
    pub(super) fn refusal(self, field: impl Into<String>) -> Invalid {
        match self {
            Self::Unbroken(bytes) => Invalid::range_error(
                field,
                format!("a text with a word or punctuation break at least every {LONGEST_SEGMENT} bytes"),
                format!("{bytes} bytes without one"),
            ),
            Self::Blank(characters) => Invalid::range_error(
                field,
                format!("at most {LONGEST_BLANK} white-space characters in a row"),
                characters,
            ),
        }
    }
}

/// Whether every segment can be counted safely.
///
/// # Errors
/// The first run that cannot.
pub(super) fn check(text: &str) -> Result<(), Run> {
    for segment in segments(text) {
        // Short segments, which is nearly all of them, hold no long run.
        if segment.len() > LONGEST_BLANK {
            let blank = longest_blank(segment);
            if blank > LONGEST_BLANK {
                return Err(Run::Blank(blank));
            }
        }
        if segment.len() > LONGEST_SEGMENT {
            return Err(Run::Unbroken(segment.len()));
        }
    }
    Ok(())
}

/// The text in segments whose tokens add up to its own.
pub(super) fn segments(text: &str) -> impl Iterator<Item = &str> {
    segments_of(text, SEGMENT)
}

/// The same with segments of at least `size` bytes, the last excepted.
pub(super) fn segments_of(text: &str, size: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (segment, after) = rest.split_at_checked(cut(rest, size)?)?;
        rest = after;
        Some(segment)
    })
}

/// Where the first segment of `rest` ends: at the first cut from `size` bytes on, else at its end. `None` if it is empty.
fn cut(rest: &str, size: usize) -> Option<usize> {
    // Starts at the last character that begins within `size`, without reading what is before.
    let mut start = size.saturating_sub(1).min(rest.len());
    while !rest.is_char_boundary(start) {
        start -= 1;
    }
    let mut characters = rest.get(start..)?.chars();
    let mut end = start;
    let Some(mut x) = characters.next() else { return Some(rest.len()).filter(|length| *length > 0) };
    for y in characters {
        end += x.len_utf8();
        if is_cut(x, y) {
            return Some(end);
        }
        x = y;
    }
    Some(rest.len())
}

/// Whether every encoding divides its pieces between these two characters (the rules above).
fn is_cut(x: char, y: char) -> bool {
    if y.is_whitespace() {
        return !x.is_whitespace() && (!matches!(y, '\r' | '\n') || is_letter(x) || x.is_ascii_digit());
    }
    if is_letter(x) {
        return y.is_ascii_digit() || (is_punctuation(y) && y != '\'');
    }
    if x.is_ascii_digit() {
        return is_letter(y) || is_punctuation(y);
    }
    x.is_ascii_punctuation() && y.is_ascii_digit()
}

/// Letters (`\p{L}`) that are certain to be letters in every version of Unicode: ASCII's, and the bulk of Chinese,
/// Japanese and Korean, which do without spaces. `char::is_alphabetic` is more than `\p{L}`.
fn is_letter(character: char) -> bool {
    character.is_ascii_alphabetic()
        || matches!(character, '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fa5}' | '\u{ac00}'..='\u{d7a3}')
}

/// Characters that are certain to be neither space, letter, number nor mark: ASCII's, and the usual CJK stops, commas,
/// brackets and quotes.
fn is_punctuation(character: char) -> bool {
    character.is_ascii_punctuation()
        || matches!(
            character,
            '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' | '\u{2018}'..='\u{201f}' | '\u{2026}'
        )
}

/// The most white-space characters in a row.
fn longest_blank(text: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for character in text.chars() {
        run = if character.is_whitespace() { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
