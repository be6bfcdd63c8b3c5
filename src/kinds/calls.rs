//! The tool calls of a streamed choice, put together from their pieces, and numbered as they are.

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::merge::Merge;
use super::open::{MAX_ITEMS, Open, Rest};
use super::whole::{WireFunction, WireToolCall};
use super::{Body, Chunk, ToolCall};

/// The calls of one choice as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Calls {
    all: Vec<Assembled>,
    /// Of the last event's pieces: the index that the provider gave, and the place of the call.
    places: Vec<(Option<u64>, usize)>,
    /// Whether the provider's indices tell calls apart.
    is_misnumbered: bool,
}

/// One call.
#[derive(Debug, Default)]
struct Assembled {
    wire_index: Option<u64>,
    call: ToolCall,
    /// What sort of call the provider says that it is.
    kind: Option<String>,
    /// Whether a custom tool is called, and not a function.
    is_custom: bool,
    /// What else came of it, and of what it calls.
    rest: Merge,
    called_rest: Merge,
}

/// What tells to which call a piece belongs.
struct Piece<'a> {
    index: Option<u64>,
    id: Option<&'a str>,
    name: Option<&'a str>,
    arguments: &'a str,
}

impl Piece<'_> {
    /// Whether it begins a call, and does not go on with this one, whose id is not its own. A call begins with its name; some
    /// servers say the name with every piece, and some give every piece an id of its own.
    fn begins_another_than(&self, known: &ToolCall) -> bool {
        let Some(name) = self.name.filter(|_| !known.name.is_empty()) else { return false };
        if name != known.name {
            return true;
        }
        match self.id.filter(|_| !known.id.is_empty()) {
            Some(_) => self.index.is_none() || !goes_on(&known.arguments, self.arguments),
            None => !self.arguments.is_empty() && is_whole(&known.arguments),
        }
    }
}

/// Whether these arguments are said to their end.
fn is_whole(arguments: &str) -> bool {
    // Looked at first: an object in its middle is not worth reading again with every piece.
    let may_be = !arguments.trim_start().starts_with('{') || arguments.trim_end().ends_with('}');
    may_be && serde_json::from_str::<IgnoredAny>(arguments).is_ok()
}

/// Whether an object of which so much has come can go on with this.
fn goes_on(arguments: &str, more: &str) -> bool {
    let begins = |text: &str| text.trim_start().starts_with('{');
    match arguments.trim_start() {
        "" => begins(more),
        _ if !begins(arguments) || is_whole(arguments) => false,
        _ if !begins(more) => true,
        _ => serde_json::from_str::<IgnoredAny>(&[arguments, more].concat())
            .map_or_else(|error| error.is_eof(), |_| true),
    }
}

impl Calls {
    /// Another event is read.
    pub(super) fn begin_event(&mut self) {
        self.places.clear();
    }

    /// Takes a piece, and gives what it says.
    ///
    /// # Errors
    /// If there are more calls than any model makes.
    pub(super) fn push(&mut self, piece: Open<'_, WireToolCall<'_>>) -> Result<Option<Chunk>, &'static str> {
        let Open { known: piece, rest } = piece;
        let id = piece.id.as_deref().filter(|id| !id.is_empty());
        let name = piece.called().and_then(|called| called.name.as_deref()).filter(|name| !name.is_empty());
        let arguments = piece.called().map(WireFunction::arguments).unwrap_or_default();
        let place = self.place_of(&Piece { index: piece.index, id, name, arguments: &arguments });
        self.places.push((piece.index, place));
        if place >= MAX_ITEMS {
            return Err("its events have too many tool calls");
        }
        let Some(assembled) = self.all.get_mut(place) else { return Ok(None) };
        let known = &mut assembled.call;
        let id = id.filter(|_| known.id.is_empty()).map(str::to_owned);
        let name = name.filter(|_| known.name.is_empty()).map(str::to_owned);
        known.id.push_str(id.as_deref().unwrap_or_default());
        known.name.push_str(name.as_deref().unwrap_or_default());
        known.arguments.push_str(&arguments);
        let kind = piece.kind.as_deref().filter(|kind| !kind.is_empty()).map(str::to_owned);
        assembled.kind = kind.or(assembled.kind.take());
        assembled.is_custom |= piece.function.is_none() && piece.custom.is_some();
        let called_rest: Option<Rest<'_>> = piece.function.or(piece.custom).map(|called| called.rest);
        assembled.called_rest.push(called_rest.unwrap_or_default());
        assembled.rest.push(rest);
        let says_something = id.is_some() || name.is_some() || !arguments.is_empty();
        let index = u32::try_from(place).ok().filter(|_| says_something);
        Ok(index.map(|index| Chunk::ToolCall { index, id, name, arguments }))
    }

    /// A piece belongs to the call with its id, if their indices do not say otherwise. Else it goes on with the last call of its
    /// index, or with the last of all if it has none, unless it begins another: with another name; with another id, except where
    /// under one index and name it goes on with an object of arguments that is open; and without an id, where it brings arguments
    /// after those that are whole.
    fn place_of(&mut self, piece: &Piece<'_>) -> usize {
        let wire_index = piece.index;
        let agrees =
            |call: &Assembled| call.wire_index.is_none() || wire_index.is_none() || call.wire_index == wire_index;
        let has_its_id = |call: &Assembled| piece.id.is_some_and(|id| call.call.id == id) && agrees(call);
        self.is_misnumbered |= wire_index.is_none();
        if let Some(place) = self.all.iter().rposition(has_its_id) {
            return place;
        }
        let known = match wire_index {
            Some(_) => self.all.iter().rposition(|call| call.wire_index == wire_index),
            None => self.all.len().checked_sub(1),
        };
        if let Some(place) = known {
            let begins = self.all.get(place).is_none_or(|known| piece.begins_another_than(&known.call));
            if !begins {
                return place;
            }
            self.is_misnumbered = true;
        }
        self.all.push(Assembled { wire_index, ..Assembled::default() });
        self.all.len() - 1
    }

    /// Whether somebody who believes the indices of the last event would put its pieces to other calls.
    pub(super) fn is_misread(&self) -> bool {
        self.is_misnumbered && self.places.iter().any(|(index, place)| *index != Some(*place as u64))
    }

    /// The pieces of the last event, numbered as they are. `None` if there are others than were read.
    pub(super) fn renumbered(&self, pieces: &RawValue) -> Option<Vec<Body>> {
        let pieces: Vec<Body> = serde_json::from_str(pieces.get()).ok()?;
        let number = |(mut piece, (_, place)): (Body, &(_, usize))| {
            piece.set("index", place);
            piece
        };
        (pieces.len() == self.places.len()).then(|| pieces.into_iter().zip(&self.places).map(number).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Bytes that they hold, about.
    pub(super) fn len(&self) -> usize {
        self.all.iter().map(|call| call.call.arguments.len() + call.rest.len() + call.called_rest.len()).sum()
    }

    /// Whether this is known to be what a whole answer would hold.
    pub(super) fn is_sure(&self) -> bool {
        self.all.iter().flat_map(|call| [&call.rest, &call.called_rest]).all(Merge::is_sure)
    }

    /// As a whole answer has them.
    pub(super) fn wire(&self) -> Vec<Body> {
        self.all.iter().map(Assembled::wire).collect()
    }
}

impl Assembled {
    fn wire(&self) -> Body {
        let ToolCall { id, name, arguments } = &self.call;
        let (kind, what_with) = if self.is_custom { ("custom", "input") } else { ("function", "arguments") };
        let mut called = Body::new();
        called.set("name", name);
        called.set(what_with, arguments);
        self.called_rest.write(&mut called);
        let mut call = Body::new();
        call.set("id", id);
        call.set("type", &self.kind.as_deref().unwrap_or(kind));
        call.set(kind, &called);
        self.rest.write(&mut call);
        call
    }
}
