//! Where two questions differ: the stored one known by its sketch, the asked one by all of its text.

use std::fmt;

use super::sketch::{beginning, name_of};
use super::tree::{MARK, Node, Parts, unquoted};

/// Longer values are shown by their beginning and their size.
const SHORT_BYTES: usize = 60;

/// How much of a beginning is shown.
const SHOWN_BYTES: usize = 30;

/// What the shortest difference weighs.
const WEIGHT: u32 = 4;

/// One place where a stored question is another one than what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where, e.g. `messages[2].content`; `the kind` or `the group's models` if it is not in the request.
    pub path: String,
    /// What is stored there.
    pub stored: Side,
    /// What was asked there.
    pub asked: Side,
}

/// What one of two questions has at a place, short enough to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// Nothing.
    Absent,
    /// This, e.g. `0.7` or `"What is…" (1,204 bytes)`.
    Value(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        match (&self.stored, &self.asked) {
            (Side::Value(stored), Side::Value(asked)) => {
                write!(f, "{stored} is stored, {asked} was asked")?;
                if begin_alike(stored, asked) { f.write_str(" (they differ further on)") } else { Ok(()) }
            }
            (Side::Value(stored), Side::Absent) => write!(f, "{stored} is stored, asked without it"),
            (Side::Absent, Side::Value(asked)) => write!(f, "stored without it, {asked} was asked"),
            (Side::Absent, Side::Absent) => f.write_str("neither has it"),
        }
    }
}

/// Whether what is shown of two abbreviated values tells nothing of where they differ.
fn begin_alike(stored: &str, asked: &str) -> bool {
    let shown = |side: &'_ str| side.split_once(MARK).map(|(shown, _)| shown.to_owned());
    let both = shown(stored).zip(shown(asked));
    both.is_some_and(|(stored, asked)| stored.starts_with(&*asked) || asked.starts_with(&*stored))
}

/// Every difference, in the order of the asked question.
pub(super) fn all(stored: &Node<'_>, asked: &Node<'_>) -> Vec<Difference> {
    let mut found = Vec::new();
    walk(Some(stored), Some(asked), &Step::Root, &mut |step, stored, asked| {
        let side = |seen: Option<Seen<'_>>| seen.map_or(Side::Absent, |seen| Side::Value(seen.to_string()));
        found.push(Difference {
            path: step.to_string(),
            stored: side(stored.map(Seen::in_sketch)),
            asked: side(asked.map(Seen::whole)),
        });
    });
    found
}

/// How far apart they are: 0 is the same question. A long text that is another one weighs more than a number, and less
/// if it begins alike.
pub(super) fn distance(stored: &Node<'_>, asked: &Node<'_>) -> u32 {
    let mut sum = 0_u32;
    walk(Some(stored), Some(asked), &Step::Root, &mut |_, stored, asked| {
        let (stored, asked) = (stored.map(Seen::in_sketch), asked.map(Seen::whole));
        let bytes = |seen: &Option<Seen<'_>>| seen.as_ref().map_or(0, |seen| seen.bytes);
        let weight = WEIGHT * (1 + (bytes(&stored).max(bytes(&asked)) + 1).ilog2());
        let alike = stored.zip(asked).map_or(0, |(stored, asked)| stored.alike(&asked));
        sum = sum.saturating_add(weight - weight * alike / 200);
    });
    sum
}

/// The way to a value.
enum Step<'a> {
    Root,
    Name(&'a Step<'a>, &'a str),
    Index(&'a Step<'a>, usize),
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(before, index) => write!(f, "{before}[{index}]"),
            Self::Name(Self::Root, "\"kind\"") => f.write_str("the kind"),
            Self::Name(Self::Root, "\"models\"") => f.write_str("the group's models"),
            Self::Root | Self::Name(Self::Root, "\"request\"") => f.write_str("the request"),
            Self::Name(before, name) => {
                let plain = unquoted(name).filter(|name| {
                    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-$".contains(&byte))
                });
                match (before, plain) {
                    (Self::Name(Self::Root, "\"request\""), Some(name)) => f.write_str(name),
                    (Self::Name(Self::Root, "\"request\""), None) => f.write_str(&name_of(name)),
                    (before, Some(name)) => write!(f, "{before}.{name}"),
                    (before, None) => write!(f, "{before}[{}]", name_of(name)),
                }
            }
        }
    }
}

type Tell<'f> = dyn FnMut(&Step<'_>, Option<&Node<'_>>, Option<&Node<'_>>) + 'f;

fn walk(stored: Option<&Node<'_>>, asked: Option<&Node<'_>>, step: &Step<'_>, tell: &mut Tell<'_>) {
    let (Some(old), Some(new)) = (stored, asked) else { return tell(step, stored, asked) };
    if let Some(short) = Short::of(old) {
        if !short.is_of(new) {
            tell(step, stored, asked);
        }
        return;
    }
    // As one: which models a group has says more than which is its second.
    let is_whole = matches!(step, Step::Name(Step::Root, "\"models\""));
    match (&old.parts, &new.parts) {
        (Parts::List(old), Parts::List(new)) if !is_whole => {
            for index in 0..old.len().max(new.len()) {
                walk(old.get(index), new.get(index), &Step::Index(step, index), tell);
            }
        }
        (Parts::Map(old), Parts::Map(new)) => {
            let is_same = |stored: &str, asked: &str| stored == asked || stored == name_of(asked);
            for (name, value) in new {
                let old = old.iter().find(|(stored, _)| is_same(stored, name)).map(|(_, value)| value);
                walk(old, Some(value), &Step::Name(step, name), tell);
            }
            for (name, value) in old.iter().filter(|(stored, _)| new.iter().all(|(asked, _)| !is_same(stored, asked))) {
                walk(Some(value), None, &Step::Name(step, name), tell);
            }
        }
        _ if old.text == new.text => {}
        _ => tell(step, stored, asked),
    }
}

/// An abbreviation in a sketch.
struct Short<'t> {
    form: Form<'t>,
    bytes: usize,
    hash: u32,
}

/// What is known of an abbreviated value but for its size.
#[derive(Clone, Copy)]
enum Form<'t> {
    /// A text, or a number of many digits, and its beginning.
    Leaf(&'t str),
    /// The number of items.
    List(usize),
    /// The number of fields.
    Map(usize),
}

impl<'t> Short<'t> {
    /// What a node of a sketch abbreviates, if it does.
    fn of(node: &Node<'t>) -> Option<Self> {
        let (form, tail) = match &node.parts {
            Parts::Leaf => {
                let (beginning, tail) = node.string()?.rsplit_once(MARK)?;
                (Form::Leaf(beginning), tail)
            }
            Parts::List(items) => {
                let [item] = items.as_slice() else { return None };
                let (items, tail) = item.string()?.strip_prefix(MARK)?.split_once(':')?;
                (Form::List(items.parse().ok()?), tail)
            }
            Parts::Map(members) => {
                let [("\"…\"", value)] = members.as_slice() else { return None };
                let (members, tail) = value.string()?.split_once(':')?;
                (Form::Map(members.parse().ok()?), tail)
            }
        };
        let (bytes, hash) = tail.split_once(':').filter(|(_, hash)| hash.len() == 8)?;
        Some(Self { form, bytes: bytes.parse().ok()?, hash: u32::from_str_radix(hash, 16).ok()? })
    }

    /// Whether it abbreviates this value.
    fn is_of(&self, node: &Node<'_>) -> bool {
        let is_form = match (&self.form, &node.parts) {
            (Form::Leaf(_), Parts::Leaf) => true,
            (Form::List(count), Parts::List(items)) => *count == items.len(),
            (Form::Map(count), Parts::Map(members)) => *count == members.len(),
            _ => false,
        };
        is_form && self.bytes == node.bytes() && self.hash == node.hash()
    }
}

/// A value as far as a sketch or a message shows it.
struct Seen<'t> {
    /// All of it, if it is short.
    whole: Option<&'t str>,
    form: Form<'t>,
    bytes: usize,
}

impl<'t> Seen<'t> {
    /// A value of a sketch.
    fn in_sketch(node: &Node<'t>) -> Self {
        match Short::of(node) {
            Some(Short { form, bytes, .. }) => Self { whole: None, form, bytes },
            None => Self::whole(node),
        }
    }

    fn whole(node: &Node<'t>) -> Self {
        let form = match &node.parts {
            Parts::Leaf => Form::Leaf(node.string().unwrap_or(node.text)),
            Parts::List(items) => Form::List(items.len()),
            Parts::Map(members) => Form::Map(members.len()),
        };
        Self { whole: Some(node.text).filter(|text| text.len() <= SHORT_BYTES), form, bytes: node.bytes() }
    }

    /// How much of two beginnings is the same, in hundredths.
    fn alike(&self, other: &Self) -> u32 {
        let (Form::Leaf(one), Form::Leaf(other)) = (self.form, other.form) else { return 0 };
        let same = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
        u32::try_from(same * 100 / one.len().min(other.len()).max(1)).unwrap_or(0)
    }
}

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.whole, self.form) {
            (Some(text), _) => return f.write_str(text),
            (None, Form::Leaf(text)) => write!(f, "\"{}{MARK}\"", beginning(text, SHOWN_BYTES))?,
            (None, Form::List(items)) => write!(f, "an array of {items}")?,
            (None, Form::Map(members)) => write!(f, "an object of {members}")?,
        }
        write!(f, " ({} bytes)", grouped(self.bytes))
    }
}

/// A number with a comma before every three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
