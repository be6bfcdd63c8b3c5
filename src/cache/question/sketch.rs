//! Writes the short form of a question.

use std::fmt::Write;

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
        Parts::Leaf => return if is_plain(node.text) { node.text.len() } else { abbreviated_len(node, SHOWN_BYTES) },
        _ if is_ambiguous(node) => return collapsed_len(node),
        Parts::List(items) => _ = items.iter().all(|item| add(need(item))),
        Parts::Map(members) => _ = members.iter().all(|(name, value)| add(name_len(name) + 1 + need(value))),
    }
    sum
}

/// The fewest bytes that a sketch of the value takes.
fn floor(node: &Node<'_>) -> usize {
    let shortest = match node.parts {
        Parts::Leaf => abbreviated_len(node, 0),
        _ => collapsed_len(node),
    };
    shortest.min(need(node))
}

/// Appends the value's sketch, which takes at most `room` bytes; that is at least its [`floor`].
fn write(node: &Node<'_>, room: usize, out: &mut String) {
    if need(node) <= room {
        return write_all(node, out);
    }
    match &node.parts {
        Parts::Leaf => {
            let shown = room.saturating_sub(abbreviated_len(node, 0)).min(SHOWN_BYTES);
            abbreviate(node, shown, out);
        }
        Parts::List(items) => match shares(items.iter(), items.len() + 1, room) {
            None => collapse(node, out),
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
            let fixed = members.len() + 1 + members.iter().map(|(name, _)| name_len(name) + 1).sum::<usize>();
            match shares(members.iter().map(|(_, value)| value), fixed, room) {
                None => collapse(node, out),
                Some(shares) => {
                    out.push('{');
                    for (index, ((name, value), share)) in members.iter().zip(shares).enumerate() {
                        out.push_str(if index > 0 { "," } else { "" });
                        write_name(name, out);
                        out.push(':');
                        write(value, share, out);
                    }
                    out.push('}');
                }
            }
        }
    }
}

/// Appends the sketch of a value that has all the room that it [`need`]s, as most have: nothing is weighed.
fn write_all(node: &Node<'_>, out: &mut String) {
    match &node.parts {
        Parts::Leaf if is_plain(node.text) => out.push_str(node.text),
        Parts::Leaf => abbreviate(node, SHOWN_BYTES, out),
        _ if is_ambiguous(node) => collapse(node, out),
        Parts::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write_all(item, out);
            }
            out.push(']');
        }
        Parts::Map(members) => {
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write_name(name, out);
                out.push(':');
                write_all(value, out);
            }
            out.push('}');
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
    let Some(text) = unquoted(text) else { return false };
    let is_tail = |byte: u8| byte == b':' || byte.is_ascii_hexdigit();
    let end = text.bytes().rposition(|byte| !is_tail(byte)).map_or(0, |last| last + 1);
    text.as_bytes()[..end].ends_with("…".as_bytes())
}

/// Whether an object could be taken for an abbreviation.
fn is_ambiguous(node: &Node<'_>) -> bool {
    matches!(&node.parts, Parts::Map(members) if members.iter().any(|(name, _)| unquoted(name) == Some("…")))
}

/// The name of a member as a sketch shows it.
pub(super) fn name_of(name: &str) -> String {
    let mut out = String::new();
    write_name(name, &mut out);
    out
}

fn write_name(name: &str, out: &mut String) {
    if is_plain(name) {
        out.push_str(name);
    } else {
        abbreviate(&Node::parse(name), SHOWN_BYTES, out);
    }
}

fn name_len(name: &str) -> usize {
    if is_plain(name) { name.len() } else { abbreviated_len(&Node::parse(name), SHOWN_BYTES) }
}

/// The beginning of a leaf that an abbreviation shows.
fn beginning_of<'t>(leaf: &Node<'t>, shown: usize) -> &'t str {
    match leaf.string() {
        Some(string) => beginning(string, shown),
        // What is no string may hold quotes, if it is nested too deeply to be looked into.
        None => beginning(leaf.text, shown).split(['"', '\\']).next().unwrap_or(""),
    }
}

fn abbreviate(leaf: &Node<'_>, shown: usize, out: &mut String) {
    append(out, format_args!("\"{}{MARK}{}:{:08x}\"", beginning_of(leaf, shown), leaf.bytes(), leaf.hash()));
}

/// Bytes of what [`abbreviate`] appends: every hash takes the same room.
fn abbreviated_len(leaf: &Node<'_>, shown: usize) -> usize {
    "\"…:01234567\"".len() + beginning_of(leaf, shown).len() + digits(leaf.bytes())
}

fn collapse(node: &Node<'_>, out: &mut String) {
    let bytes = node.text.len();
    match &node.parts {
        Parts::Map(members) => {
            append(out, format_args!("{{\"{MARK}\":\"{}:{bytes}:{:08x}\"}}", members.len(), node.hash()));
        }
        Parts::List(items) => append(out, format_args!("[\"{MARK}{}:{bytes}:{:08x}\"]", items.len(), node.hash())),
        Parts::Leaf => abbreviate(node, 0, out),
    }
}

/// Bytes of what [`collapse`] appends.
fn collapsed_len(node: &Node<'_>) -> usize {
    match &node.parts {
        Parts::Map(members) => "{\"…\":\"::01234567\"}".len() + digits(members.len()) + digits(node.text.len()),
        Parts::List(items) => "[\"…::01234567\"]".len() + digits(items.len()) + digits(node.text.len()),
        Parts::Leaf => abbreviated_len(node, 0),
    }
}

fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Nothing fails to be appended to a string.
    let _ = out.write_fmt(text);
}

/// Decimal digits of a number.
fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_appended_is_as_long_as_what_was_weighed(
            text in prop_oneof![".{0,120}", "[a-z]{0,20}…[0-9a-f:]{0,12}", "[0-9]{80,120}"], count in 0..1_200_usize, shown in 0..60_usize,
        ) {
            let string = serde_json::to_string(&text).unwrap();
            let items = vec!["1"; count].join(",");
            let members = vec!["\"a\":1"; count].join(",");
            for text in [string, text, format!("[{items}]"), format!("{{{members}}}")] {
                let (node, mut short, mut shorter) = (Node::parse(&text), String::new(), String::new());
                abbreviate(&node, shown, &mut short);
                collapse(&node, &mut shorter);
                prop_assert_eq!((short.len(), shorter.len()), (abbreviated_len(&node, shown), collapsed_len(&node)));
            }
        }
    }
}
