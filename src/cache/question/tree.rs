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
        let text = text.trim();
        match value(text, 0) {
            Some((node, "")) => node,
            _ => Self::new(text, Parts::Leaf),
        }
    }

    fn new(text: &'t str, parts: Parts<'t>) -> Self {
        Self { text, parts, hash: OnceCell::new() }
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

/// The value that a text begins with, and what comes after it.
fn value(text: &str, depth: usize) -> Option<(Node<'_>, &str)> {
    let parts = match text.as_bytes().first()? {
        b'[' if depth < MAX_DEPTH => items(text, depth).map(|(items, after)| (Parts::List(items), after)),
        b'{' if depth < MAX_DEPTH => members(text, depth).map(|(members, after)| (Parts::Map(members), after)),
        _ => None,
    };
    let (parts, after) = match parts {
        Some(found) => found,
        None => (Parts::Leaf, after_value(text)?),
    };
    Some((Node::new(&text[..text.len() - after.len()], parts), after))
}

fn items(text: &str, depth: usize) -> Option<(Vec<Node<'_>>, &str)> {
    let mut rest = text.strip_prefix('[')?.trim_start();
    let mut found = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(']') {
            return Some((found, after));
        }
        let (item, after) = value(rest, depth + 1)?;
        found.push(item);
        rest = next(after, ']')?;
    }
}

/// Members of an object, and what comes after it.
type Members<'t> = (Vec<(&'t str, Node<'t>)>, &'t str);

fn members(text: &str, depth: usize) -> Option<Members<'_>> {
    let mut rest = text.strip_prefix('{')?.trim_start();
    let mut found = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((found, after));
        }
        let after = after_value(rest).filter(|_| rest.starts_with('"'))?;
        let name = &rest[..rest.len() - after.len()];
        let (member, after) = value(after.trim_start().strip_prefix(':')?.trim_start(), depth + 1)?;
        found.push((name, member));
        rest = next(after, '}')?;
    }
}

/// What follows a value: the next one, or `end` alone.
fn next(after: &str, end: char) -> Option<&str> {
    let after = after.trim_start();
    match after.strip_prefix(',') {
        Some(rest) => Some(rest.trim_start()).filter(|rest| !rest.starts_with(end)),
        None => Some(after).filter(|rest| rest.starts_with(end)),
    }
}

/// What comes after a value, which is not looked into.
fn after_value(text: &str) -> Option<&str> {
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
        _ => {
            let end = bytes.iter().position(|byte| b",]} \t\r\n".contains(byte)).unwrap_or(bytes.len());
            // What begins in the middle of a word would have to end somewhere else.
            let is_word = end > 0 && !bytes[..end].iter().any(|byte| b"[{\"".contains(byte));
            is_word.then_some(end)?
        }
    };
    text.get(end..)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(node: &Node<'_>) -> String {
        match &node.parts {
            Parts::Leaf => format!("<{}>", node.text),
            Parts::List(items) => format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(" ")),
            Parts::Map(members) => {
                let members = members.iter().map(|(name, value)| format!("{name}={}", shape(value)));
                format!("{{{}}}", members.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn what_is_no_json_is_one_leaf_and_takes_nothing_with_it_that_stands_beside_it() {
        for (text, expected) in [
            (r#" {"a" : [1, "x]\"", {}], "b":null} "#, r#"{"a"=[<1> <"x]\""> {}] "b"=<null>}"#),
            (r#"{"a":[1}],"b":[2]}"#, r#"<{"a":[1}],"b":[2]}>"#),
            (r#"{"a":{1:2},"b":[2]}"#, r#"{"a"=<{1:2}> "b"=[<2>]}"#),
            ("[[1,],[2]]", "[<[1,]> [<2>]]"),
            (r#"{"a":[1[2],3],"b":4}"#, r#"{"a"=<[1[2],3]> "b"=<4>}"#),
            ("[1] 2", "<[1] 2>"),
            (r#"["a"#, r#"<["a>"#),
            ("", "<>"),
        ] {
            assert_eq!(shape(&Node::parse(text)), expected, "{text}");
        }
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH + 9), "]".repeat(MAX_DEPTH + 9));
        assert_eq!(shape(&Node::parse(&deep)).matches('<').count(), 1);
    }
}
