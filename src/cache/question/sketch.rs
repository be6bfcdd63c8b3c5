//! Writes the short form of a question.

use super::tree::{MARK, Node, Parts, unquoted};

/// Most bytes of a sketch.
pub const MAX_SKETCH_BYTES: usize = 1024;

/// Longer texts are abbreviated even where there is room.
const PLAIN_BYTES: usize = 80;

/// What is shown of them.
const SHOWN_BYTES: usize = 40;

pub(super) fn sketch(question: &Node<'_>) -> String {
    let mut out = String::with_capacity(256);
    write(question, MAX_SKETCH_BYTES, &mut out);
    out
}

/// Bytes that a sketch of the value takes without a bound; more than the bound is all one.
fn need(node: &Node<'_>) -> usize {
    let mut sum = 2;
    let mut add = |bytes: usize| {
        sum += bytes + 1;
        sum <= MAX_SKETCH_BYTES
    };
    match &node.parts {
        Parts::Leaf => {
            return if is_plain(node.text) { node.text.len() } else { abbreviated(node, SHOWN_BYTES, 0).len() };
        }
        _ if is_ambiguous(node) => return collapsed(node, 0).len(),
        Parts::List(items) => _ = items.iter().all(|item| add(need(item))),
        Parts::Map(members) => _ = members.iter().all(|(name, value)| add(name_of(name).len() + 1 + need(value))),
    }
    sum
}

/// The fewest bytes that a sketch of the value takes.
fn floor(node: &Node<'_>) -> usize {
    // Every hash takes the same room.
    let shortest = match node.parts {
        Parts::Leaf => abbreviated(node, 0, 0),
        _ => collapsed(node, 0),
    };
    shortest.len().min(need(node))
}

/// Appends the value's sketch, which takes at most `room` bytes; that is at least its [`floor`].
fn write(node: &Node<'_>, room: usize, out: &mut String) {
    match &node.parts {
        Parts::Leaf if is_plain(node.text) && node.text.len() <= room => out.push_str(node.text),
        Parts::Leaf => {
            let shown = room.saturating_sub(abbreviated(node, 0, 0).len()).min(SHOWN_BYTES);
            out.push_str(&abbreviated(node, shown, node.hash()));
        }
        _ if is_ambiguous(node) => out.push_str(&collapsed(node, node.hash())),
        Parts::List(items) => match shares(items.iter(), items.len() + 1, room) {
            None => out.push_str(&collapsed(node, node.hash())),
            Some(shares) => {
                out.push('[');
                for (index, (item, share)) in items.iter().zip(shares).enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    write(item, share, out);
                }
                out.push(']');
            }
        },
        Parts::Map(members) => {
            let names: Vec<_> = members.iter().map(|(name, _)| name_of(name)).collect();
            let fixed = members.len() + 1 + names.iter().map(|name| name.len() + 1).sum::<usize>();
            match shares(members.iter().map(|(_, value)| value), fixed, room) {
                None => out.push_str(&collapsed(node, node.hash())),
                Some(shares) => {
                    out.push('{');
                    for (index, ((name, (_, value)), share)) in names.iter().zip(members).zip(shares).enumerate() {
                        out.push_str(if index > 0 { "," } else { "" });
                        out.push_str(name);
                        out.push(':');
                        write(value, share, out);
                    }
                    out.push('}');
                }
            }
        }
    }
}

/// How much room each part gets: what it needs, and if that is too much, the small ones what they need and the large
/// ones equal shares of the rest. `None` if they do not fit at all.
fn shares<'n, 't: 'n>(
    parts: impl ExactSizeIterator<Item = &'n Node<'t>>,
    fixed: usize,
    room: usize,
) -> Option<Vec<usize>> {
    // Each part takes at least a byte, so most that do not fit are not even looked at.
    let mut left = room.checked_sub(fixed.max(2)).filter(|left| *left >= parts.len())?;
    let mut shares = Vec::with_capacity(parts.len());
    let mut wants = Vec::with_capacity(parts.len());
    for (place, part) in parts.enumerate() {
        let least = floor(part);
        left = left.checked_sub(least)?;
        shares.push(least);
        wants.push((need(part) - least, place));
    }
    wants.sort_unstable();
    let mut waiting = wants.len();
    for (want, place) in wants {
        let more = want.min(left / waiting);
        shares[place] += more;
        left -= more;
        waiting -= 1;
    }
    Some(shares)
}

fn is_plain(text: &str) -> bool {
    text.len() <= PLAIN_BYTES + 2 && !looks_abbreviated(text)
}

/// Whether a string ends as an abbreviation does.
fn looks_abbreviated(text: &str) -> bool {
    let tail = unquoted(text).and_then(|text| text.rsplit_once(MARK)).map(|(_, tail)| tail);
    tail.is_some_and(|tail| tail.bytes().all(|byte| byte == b':' || byte.is_ascii_hexdigit()))
}

/// Whether an object could be taken for an abbreviation.
fn is_ambiguous(node: &Node<'_>) -> bool {
    matches!(&node.parts, Parts::Map(members) if members.iter().any(|(name, _)| unquoted(name) == Some("…")))
}

/// The name of a member as a sketch shows it.
pub(super) fn name_of(name: &str) -> String {
    if is_plain(name) {
        name.to_owned()
    } else {
        abbreviated(&Node::parse(name), SHOWN_BYTES, Node::parse(name).hash())
    }
}

fn abbreviated(leaf: &Node<'_>, shown: usize, hash: u32) -> String {
    let beginning = beginning(leaf.string().unwrap_or(leaf.text), shown);
    // What is no string may hold quotes, if it is nested too deeply to be looked into.
    let beginning = if leaf.string().is_some() { beginning } else { beginning.split(['"', '\\']).next().unwrap_or("") };
    format!("\"{beginning}{MARK}{}:{hash:08x}\"", leaf.bytes())
}

fn collapsed(node: &Node<'_>, hash: u32) -> String {
    let bytes = node.text.len();
    match &node.parts {
        Parts::Map(members) => format!("{{\"{MARK}\":\"{}:{bytes}:{hash:08x}\"}}", members.len()),
        Parts::List(items) => format!("[\"{MARK}{}:{bytes}:{hash:08x}\"]", items.len()),
        Parts::Leaf => abbreviated(node, 0, hash),
    }
}

/// The first bytes of what stands in a JSON string, at most `most`, with no character or escape cut in two.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    let (mut end, mut rest) = (0, text.chars());
    while let Some(character) = rest.next() {
        let mut length = character.len_utf8();
        if character == '\\' {
            let is_long = rest.next() == Some('u');
            length += 1 + if is_long { rest.by_ref().take(4).map(char::len_utf8).sum() } else { 0 };
        }
        if end + length > most {
            break;
        }
        end += length;
    }
    text.get(..end).unwrap_or_default()
}
