//! What can go wrong on demand: the words for it, which `thryd/testing` shares, and how much of it there is to be.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::Invalid;
use crate::fields::{Fields, describe};

const FAULTS: &str = "provider options.dummy.faults";
const STATUS: &str = "provider options.dummy.faults.status";

/// What goes wrong with an answer, beside a status. Each has the class that the same fault has on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The connection is reset before an answer.
    Reset,
    /// Nothing ever comes.
    Hang,
    /// The connection is lost in the middle.
    Cut,
    /// An event cannot be read.
    Malformed,
    /// The connection is closed before an answer.
    Close,
    /// Silence in the middle, for ever.
    Stall,
    /// A clean end in the middle, without a finish reason.
    End,
    /// An error inside an answer with status 200.
    ErrorEvent,
    /// A stream without its last `[DONE]`, which is no failure.
    NoDone,
    /// Status 200 with a page.
    Html,
    /// Status 200 with nothing.
    Empty,
    /// Status 503, and silence in the place of its body.
    StallError,
    /// The connection of a stream is lost after the finish reason, which is no failure.
    CutAfterFinish,
    /// Silence after the finish reason of a stream, likewise.
    StallAfterFinish,
}

impl Fault {
    /// Every fault, by the word for it.
    pub const ALL: [(&'static str, Self); 14] = [
        ("reset", Self::Reset),
        ("hang", Self::Hang),
        ("cut", Self::Cut),
        ("malformed", Self::Malformed),
        ("close", Self::Close),
        ("stall", Self::Stall),
        ("end", Self::End),
        ("errorEvent", Self::ErrorEvent),
        ("noDone", Self::NoDone),
        ("html", Self::Html),
        ("empty", Self::Empty),
        ("stallError", Self::StallError),
        ("cutAfterFinish", Self::CutAfterFinish),
        ("stallAfterFinish", Self::StallAfterFinish),
    ];

    /// Whether the answer is complete all the same.
    #[must_use]
    pub fn is_answered(self) -> bool {
        matches!(self, Self::NoDone | Self::CutAfterFinish | Self::StallAfterFinish)
    }

    /// The words, for messages.
    pub(super) fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }

    /// The fault of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault)
    }
}

/// Shares of calls, 0 to 1, that fail in some way; together at most 1. A fault does not use up a scripted answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// By HTTP status.
    pub status: BTreeMap<u16, f64>,
    /// By fault.
    pub others: BTreeMap<Fault, f64>,
}

impl Faults {
    pub(super) fn read(mut fields: Fields) -> Result<Self, Invalid> {
        let status = match fields.take("status") {
            None => BTreeMap::new(),
            Some(Value::Object(map)) => read_statuses(map)?,
            Some(other) => return Err(fields.type_error("status", "an object of shares by status", describe(&other))),
        };
        let mut others = BTreeMap::new();
        for (name, fault) in Fault::ALL {
            others.extend(fields.number(name, 0.0, 1.0)?.map(|share| (fault, share)));
        }
        fields.finish(&format!("status, {}", Fault::names()))?;
        let sum = status.values().chain(others.values()).sum::<f64>();
        // Shares such as 0.7 + 0.2 + 0.1 may add up to a little more than 1.
        if sum > 1.0 + 1e-9 {
            return Err(Invalid::range_error(FAULTS, "shares that add up to at most 1", sum));
        }
        Ok(Self { status, others })
    }
}

fn read_statuses(map: Map<String, Value>) -> Result<BTreeMap<u16, f64>, Invalid> {
    let names: Vec<String> = map.keys().cloned().collect();
    let mut fields = Fields::new(STATUS, map.into())?;
    let mut statuses = BTreeMap::new();
    for name in names {
        let status = name.parse().ok().filter(|status| (400..=599).contains(status));
        let status =
            status.ok_or_else(|| Invalid::range_error(STATUS, "HTTP statuses from 400 to 599", format!("{name:?}")))?;
        statuses.insert(status, fields.number(&name, 0.0, 1.0)?.unwrap_or(0.0));
    }
    Ok(statuses)
}
