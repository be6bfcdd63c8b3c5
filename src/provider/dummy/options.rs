//! What the dummy is told to do.

use std::time::Duration;

use serde_json::{Map, Value};

use super::faults::{Fault, Faults};
use crate::error::Invalid;
use crate::fields::{Fields, describe};

const PATH: &str = "provider options.dummy";
const RESPONSES: &str = "provider options.dummy.responses";
const FAULTS: &str = "provider options.dummy.faults";
const LATENCY: &str = "latencyMs";

/// Most dimensions of the dummy's embeddings.
pub(super) const MAX_DIMENSIONS: u64 = 65_536;
/// Dimensions of the dummy's embeddings unless the options or the request say otherwise.
const DIMENSIONS: usize = 8;

/// What a provider of type `dummy` does.
#[derive(Clone, Debug, PartialEq)]
pub struct DummyOptions {
    /// Answers, in order. `None`: an echo of the last message; vectors that depend only on the text; rank by the words
    /// that query and document share.
    pub responses: Option<Vec<Response>>,
    /// Whether the answers begin again when they run out. Default: the call fails with `ERR_EXHAUSTED`.
    pub repeat: bool,
    /// Time to the answer or its first piece, drawn evenly from the lower to the upper. Default: none.
    pub latency: (Duration, Duration),
    /// Time between two pieces of a stream. Default: none.
    pub token_interval: Duration,
    /// Failures. Default: none.
    pub faults: Faults,
    /// Dimensions of its vectors, 1 to 65,536, if the request does not say. Default: 8.
    pub dimensions: usize,
    /// Seed of latencies and faults: equal seeds give equal runs. Default: 0.
    pub seed: u64,
    /// Whether a cache keeps its answers. Default: no, so that scripted answers are used up one by one, and that none
    /// is left in a file where somebody would take it for a real one.
    pub cache: bool,
}

impl Default for DummyOptions {
    fn default() -> Self {
        Self {
            responses: None,
            repeat: false,
            latency: (Duration::ZERO, Duration::ZERO),
            token_interval: Duration::ZERO,
            faults: Faults::default(),
            dimensions: DIMENSIONS,
            seed: 0,
            cache: false,
        }
    }
}

/// A scripted answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// The content of a completion.
    Text(String),
    /// The kind's wire form, or a part of it such as `{ "tool_calls": [...] }`; vectors; a ranking.
    Answer(Value),
    /// A failure.
    Error {
        /// HTTP status.
        status: u16,
        /// What stands in the body's `error`.
        error: Value,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// Something else that goes wrong, on the way of an answer that there would be without a script.
    Fault {
        /// What.
        fault: Fault,
        /// Tokens of a stream before it. Default: half of them, rounded up.
        after_tokens: Option<usize>,
    },
}

impl DummyOptions {
    /// Answers these, in order.
    #[must_use]
    pub fn scripted<T: Into<Response>>(responses: impl IntoIterator<Item = T>) -> Self {
        Self { responses: Some(responses.into_iter().map(Into::into).collect()), ..Self::default() }
    }

    /// Reads the `dummy` of the provider options.
    ///
    /// # Errors
    /// If a field is unknown or wrong.
    pub fn read(mut fields: Fields) -> Result<Self, Invalid> {
        let responses = match fields.take("responses") {
            None => None,
            Some(Value::Array(items)) => {
                let read = |(place, value)| read_response(value).map_err(|invalid| at(place, invalid));
                Some(items.into_iter().enumerate().map(read).collect::<Result<_, _>>()?)
            }
            Some(other) => return Err(fields.type_error("responses", "an array", describe(&other))),
        };
        let options = Self {
            responses,
            repeat: fields.boolean("repeat")?.unwrap_or(false),
            latency: read_latency(&mut fields)?,
            token_interval: fields.duration_ms("tokenIntervalMs")?.unwrap_or_default(),
            faults: fields.nested("faults", FAULTS, Faults::read)?.unwrap_or_default(),
            dimensions: read_dimensions(&mut fields)?,
            seed: fields.integer("seed", 0)?.unwrap_or(0),
            cache: fields.boolean("cache")?.unwrap_or(false),
        };
        fields.finish("responses, repeat, latencyMs, tokenIntervalMs, faults, dimensions, seed, cache")?;
        Ok(options)
    }
}

impl From<&str> for Response {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Value> for Response {
    fn from(value: Value) -> Self {
        Self::Answer(value)
    }
}

/// A mistake in the response at this place.
fn at(place: usize, invalid: Invalid) -> Invalid {
    let field = invalid.field.replacen(RESPONSES, &format!("{RESPONSES}[{place}]"), 1);
    Invalid { field, ..invalid }
}

fn read_response(value: Value) -> Result<Response, Invalid> {
    match value {
        Value::String(text) => Ok(Response::Text(text)),
        Value::Object(map) if map.contains_key("fault") => read_fault(map),
        Value::Object(mut map) => match map.remove("error") {
            Some(Value::Object(error)) => read_error(error),
            None | Some(Value::Null) => Ok(Response::Answer(map.into())),
            Some(other) => Err(Invalid::type_error(format!("{RESPONSES}.error"), "an object", describe(&other))),
        },
        Value::Array(_) => Ok(Response::Answer(value)),
        other => Err(Invalid::type_error(RESPONSES, "a string or an object", describe(&other))),
    }
}

/// `status` and `retryAfterMs` are the dummy's; whatever else stands there travels in the body, as a provider's would.
fn read_error(mut error: Map<String, Value>) -> Result<Response, Invalid> {
    let mut own = Map::new();
    for name in ["status", "retryAfterMs"] {
        own.extend(error.remove_entry(name));
    }
    if error.get("message").is_none_or(Value::is_null) {
        error.insert("message".to_owned(), "a scripted failure of the dummy".into());
    }
    let mut fields = Fields::new("provider options.dummy.responses.error", own.into())?;
    let status = fields.number("status", 400.0, 599.0)?.unwrap_or(500.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 400 to 599")]
    let status = status as u16;
    Ok(Response::Error { status, error: error.into(), retry_after: fields.duration_ms("retryAfterMs")? })
}

fn read_fault(map: Map<String, Value>) -> Result<Response, Invalid> {
    let mut fields = Fields::new(RESPONSES, map.into())?;
    let name = fields.string("fault")?.unwrap_or_default();
    let unknown = || fields.type_error("fault", format!("one of {}", Fault::names()), format!("{name:?}"));
    let fault = Fault::named(&name).ok_or_else(unknown)?;
    let after_tokens = fields.integer("afterTokens", 0)?.map(|tokens| usize::try_from(tokens).unwrap_or(usize::MAX));
    fields.finish("fault, afterTokens")?;
    Ok(Response::Fault { fault, after_tokens })
}

fn read_dimensions(fields: &mut Fields) -> Result<usize, Invalid> {
    let Some(dimensions) = fields.integer("dimensions", 1)? else { return Ok(DIMENSIONS) };
    let fits = usize::try_from(dimensions).ok().filter(|_| dimensions <= MAX_DIMENSIONS);
    let expected = format!("an integer from 1 to {MAX_DIMENSIONS}");
    fits.ok_or_else(|| Invalid::range_error(format!("{PATH}.dimensions"), expected, dimensions))
}

/// A number, or the lower and the upper bound.
fn read_latency(fields: &mut Fields) -> Result<(Duration, Duration), Invalid> {
    let Some(value) = fields.take(LATENCY) else { return Ok((Duration::ZERO, Duration::ZERO)) };
    let one = |name: &str, value: &Value| {
        let map = Map::from_iter([(name.to_owned(), value.clone())]);
        Ok::<_, Invalid>(Fields::new(PATH, map.into())?.duration_ms(name)?.unwrap_or_default())
    };
    let Value::Array(bounds) = &value else {
        let latency = one(LATENCY, &value)?;
        return Ok((latency, latency));
    };
    let [low, high] = bounds.as_slice() else {
        return Err(fields.type_error(LATENCY, "a number or [min, max]", describe(&value)));
    };
    let (shortest, longest) = (one("latencyMs[0]", low)?, one("latencyMs[1]", high)?);
    if shortest > longest {
        let field = format!("{PATH}.{LATENCY}");
        return Err(Invalid::range_error(field, "[min, max] with min not above max", format!("[{low}, {high}]")));
    }
    Ok((shortest, longest))
}
