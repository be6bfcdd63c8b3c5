//! Text that is part of a longer one, which it shares: a prompt of ten megabytes is there once, however many hold it. It is kept
//! whole for as long as anybody holds a part.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A part of a text. Cloning copies no text.
#[derive(Clone)]
pub struct Shared {
    whole: Arc<String>,
    range: Range<usize>,
}

impl Shared {
    /// All of a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self { range: 0..text.len(), whole: Arc::new(text) }
    }

    /// The part of this text that `part` is.
    ///
    /// # Panics
    /// If it is none: `part` has to be a slice of this very text, not one that is equal.
    #[must_use]
    pub fn slice(&self, part: &str) -> Self {
        let start = (part.as_ptr() as usize).checked_sub(self.whole.as_ptr() as usize).expect("a part of this text");
        let range = start..start + part.len();
        assert!(self.range.start <= range.start && range.end <= self.range.end, "a part of this text");
        Self { whole: Arc::clone(&self.whole), range }
    }

    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        &self.whole[self.range.clone()]
    }

    /// What tells the text that it keeps in memory from all others, as long as it does.
    pub(super) fn whole(&self) -> *const String {
        Arc::as_ptr(&self.whole)
    }

    /// Bytes that it keeps in memory.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.whole.len()
    }
}

impl Deref for Shared {
    type Target = str;

    fn deref(&self) -> &str {
        self.get()
    }
}

impl From<&str> for Shared {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_no_copy() {
        let whole = Shared::new("one two three".to_owned());
        let two = whole.slice(&whole[4..7]);
        assert_eq!((&*two, two.kept()), ("two", 13));
        assert_eq!([two.whole(), two.slice(&two[1..]).whole()], [whole.whole(); 2]);
        assert!(std::ptr::eq(two.as_ptr(), whole[4..].as_ptr()));
    }

    #[test]
    #[should_panic(expected = "a part of this text")]
    fn what_is_only_equal_is_no_part() {
        let whole = Shared::new("one two three".to_owned());
        let _part = whole.slice(&whole[4..7]).slice(&whole[..3]);
    }
}
