//! JSON text as a tree of slices of it. Reads what a canonical text or a sketch can hold; anything else is one leaf.

use std::cell::OnceCell;

/// Deeper values are one leaf.
const MAX_DEPTH: usize = 24;

/// What marks an abbreviation.
pub(super) const MARK: char = '…';

/// A value and what is in it.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub text: &'t str,
    pub parts: Parts<'t>,
    hash: OnceCell<u32>,
}

#[derive(Debug)]
pub(super) enum Parts<'t> {
    /// A string, a number, a word; with quotes and escapes.
    Leaf,
    List(Vec<Node<'t>>),
    /// Names with their quotes.
    Map(Vec<(&'t str, Node<'t>)>),
}

impl<'t> Node<'t> {
    pub fn parse(text: &'t str) -> Self {
        Self::at_depth(text.trim(), 0)
    }

    fn at_depth(text: &'t str, depth: usize) -> Self {
        let parts = match text.as_bytes().first() {
            Some(b'[') if depth < MAX_DEPTH => items(text, depth).map(Parts::List),
            Some(b'{') if depth < MAX_DEPTH => members(text, depth).map(Parts::Map),
            _ => None,
        };
        Self { text, parts: parts.unwrap_or(Parts::Leaf), hash: OnceCell::new() }
    }

    /// The first 32 bits of the hash of its text.
    pub fn hash(&self) -> u32 {
        *self.hash.get_or_init(|| {
            let hash = blake3::hash(self.text.as_bytes());
            hash.as_bytes().iter().take(4).fold(0, |sum, byte| sum << 8 | u32::from(*byte))
        })
    }

    /// Bytes of its text; of a string, without its quotes.
    pub fn bytes(&self) -> usize {
        self.string().map_or(self.text.len(), str::len)
    }

    /// What stands between the quotes of a string.
    pub fn string(&self) -> Option<&'t str> {
        unquoted(self.text)
    }
}

/// What stands between quotes, if they are there.
pub(super) fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

fn items(text: &str, depth: usize) -> Option<Vec<Node<'_>>> {
    let mut rest = text.strip_prefix('[')?.trim_start();
    let mut found = Vec::new();
    while rest != "]" {
        let (value, after) = split_value(rest)?;
        found.push(Node::at_depth(value, depth + 1));
        rest = next(after, ']')?;
    }
    Some(found)
}

fn members(text: &str, depth: usize) -> Option<Vec<(&str, Node<'_>)>> {
    let mut rest = text.strip_prefix('{')?.trim_start();
    let mut found = Vec::new();
    while rest != "}" {
        let (name, after) = split_value(rest).filter(|(name, _)| name.starts_with('"'))?;
        let (value, after) = split_value(after.trim_start().strip_prefix(':')?.trim_start())?;
        found.push((name, Node::at_depth(value, depth + 1)));
        rest = next(after, '}')?;
    }
    Some(found)
}

/// What follows a value: the next one, or `end` alone.
fn next(after: &str, end: char) -> Option<&str> {
    let after = after.trim_start();
    match after.strip_prefix(',') {
        Some(rest) => Some(rest.trim_start()).filter(|rest| !rest.starts_with(end)),
        None => Some(after).filter(|rest| rest.starts_with(end)),
    }
}

/// A value and what comes after it.
fn split_value(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let end = match bytes.first()? {
        b'"' => string_end(bytes, 0)?,
        b'[' | b'{' => {
            let (mut at, mut open) = (0, 0_usize);
            loop {
                match bytes.get(at)? {
                    b'"' => {
                        at = string_end(bytes, at)?;
                        continue;
                    }
                    b'[' | b'{' => open += 1,
                    b']' | b'}' => open -= 1,
                    _ => {}
                }
                at += 1;
                if open == 0 {
                    break at;
                }
            }
        }
        _ => bytes.iter().position(|byte| b",]} \t\r\n".contains(byte)).unwrap_or(bytes.len()),
    };
    Some(text.split_at(end)).filter(|(value, _)| !value.is_empty())
}

/// Where the string that begins at `start` ends.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}
