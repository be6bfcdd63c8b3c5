//! Embeddings: OpenAI's answer as vectors, in the order of the inputs.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{Buf, BufMut, Bytes};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::{object, unreadable, usage};
use super::{Body, EmbeddingRequest, Kind, Prompt, Usage};
use crate::error::{Failure, Invalid};

/// One vector per input, in the order of the inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    vectors: Vec<Vec<f32>>,
    model: String,
    usage: Option<Usage>,
}

impl Embeddings {
    /// One vector per input, in the order of the inputs, all of one length.
    #[must_use]
    pub fn vectors(&self) -> &[Vec<f32>] {
        &self.vectors
    }

    /// The vectors themselves.
    #[must_use]
    pub fn into_vectors(self) -> Vec<Vec<f32>> {
        self.vectors
    }

    fn parse(raw: &[u8], expected: usize) -> Result<Self, String> {
        let answer: Answer<'_> = object(raw)?;
        if answer.data.len() != expected {
            return Err(format!("{} vectors for {expected} inputs", answer.data.len()));
        }
        let mut places: Vec<Option<Vec<f32>>> = vec![None; expected];
        for item in &answer.data {
            let index = item.index;
            let place = usize::try_from(index).ok().and_then(|index| places.get_mut(index));
            let place = place.ok_or_else(|| format!("index {index} of {expected} inputs"))?;
            let vector = vector(item.embedding.get())
                .ok_or_else(|| format!("the vector at index {index} is not made of numbers"))?;
            if place.replace(vector).is_some() {
                return Err(format!("index {index} stands twice"));
            }
        }
        // Every place is filled: as many vectors as places, and none twice.
        let vectors: Vec<Vec<f32>> = places.into_iter().flatten().collect();
        let mut lengths = vectors.iter().map(Vec::len);
        let length = lengths.next().unwrap_or(0);
        if length == 0 || lengths.any(|other| other != length) {
            return Err("its vectors are empty or of different lengths".to_owned());
        }
        Ok(Self { vectors, model: answer.model.unwrap_or_default().into_owned(), usage: usage(answer.usage) })
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Vec<Item<'a>>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    index: u64,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

/// Some servers leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A vector: an array of numbers, or the base64 of little-endian `f32`s. `None` for anything else, and if a number is
/// not finite.
fn vector(raw: &str) -> Option<Vec<f32>> {
    let vector: Vec<f32> = if let Some(text) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        // Base64 as it stands, of which there are megabytes; escaped slashes are not read as such.
        let unescaped = || BASE64.decode(serde_json::from_str::<String>(raw).ok()?).ok();
        let bytes = BASE64.decode(text).ok().or_else(unescaped)?;
        (bytes.len() % 4 == 0).then(|| numbers(&bytes))?
    } else {
        serde_json::from_str(raw).ok()?
    };
    vector.iter().all(|number| number.is_finite()).then_some(vector)
}

/// Little-endian `f32`s.
fn numbers(bytes: &[u8]) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

impl Kind for Embeddings {
    type Request = EmbeddingRequest;

    const NAME: &'static str = "embedding";
    const PATH: &'static str = "/embeddings";

    fn request(body: Body) -> Result<EmbeddingRequest, Invalid> {
        EmbeddingRequest::check(body)
    }

    fn read(answer: &Bytes, request: &EmbeddingRequest) -> Result<Self, Failure> {
        Self::parse(answer, request.inputs().len()).map_err(|reason| unreadable(reason, answer))
    }

    fn store(&self) -> Bytes {
        write_record(self).into()
    }

    fn load(stored: &Bytes) -> Option<Self> {
        read_record(stored)
    }

    fn is_storable(&self) -> bool {
        !self.vectors.is_empty()
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    fn set_usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    fn prompt(request: &EmbeddingRequest) -> Prompt<'_> {
        request.prompt()
    }

    fn split(request: &EmbeddingRequest) -> Option<Vec<EmbeddingRequest>> {
        (request.inputs().len() > 1 && !request.is_one_context()).then(|| request.split())
    }

    fn batch(parts: &[EmbeddingRequest]) -> EmbeddingRequest {
        EmbeddingRequest::batch(parts)
    }

    fn unbatch(self) -> Vec<Self> {
        let shares = shares(self.usage, self.vectors.len());
        let one = |(vector, usage)| Self { vectors: vec![vector], model: self.model.clone(), usage };
        self.vectors.into_iter().zip(shares).map(one).collect()
    }

    fn join(parts: Vec<Self>) -> Self {
        let model = parts.first().map(|part| part.model.clone()).unwrap_or_default();
        let usage = parts.iter().filter_map(|part| part.usage).reduce(|sum, usage| sum.plus(&usage));
        Self { vectors: parts.into_iter().flat_map(|part| part.vectors).collect(), model, usage }
    }
}

/// A usage in `parts` shares that add up to it again: the remainder goes to the first ones.
fn shares(usage: Option<Usage>, parts: usize) -> impl Iterator<Item = Option<Usage>> {
    let count = parts.max(1) as u64;
    (0..count).map(move |place| {
        let share = |total: u64| total / count + u64::from(place < total % count);
        usage.map(|usage| {
            let prompt_tokens = share(usage.prompt_tokens);
            let completion_tokens = share(usage.completion_tokens);
            #[allow(clippy::cast_precision_loss, reason = "a count of inputs")]
            let cost = usage.cost.map(|cost| cost / count as f64);
            Usage {
                prompt_tokens,
                completion_tokens,
                total_tokens: share(usage.total_tokens),
                cached_prompt_tokens: usage.cached_prompt_tokens.map(share),
                reasoning_tokens: usage.reasoning_tokens.map(share),
                cost,
                estimated: usage.estimated,
            }
        })
    })
}

/// First byte of a stored record; another number is another layout.
const RECORD: u8 = 1;
const NO_USAGE: u8 = 0;
const REPORTED: u8 = 1;
const ESTIMATED: u8 = 2;

/// Version, usage (flag, prompt, completion, total), model (length, UTF-8), vectors (count, length, little-endian f32).
fn write_record(embeddings: &Embeddings) -> Vec<u8> {
    let length = embeddings.vectors.first().map_or(0, Vec::len);
    let mut out = Vec::with_capacity(64 + embeddings.model.len() + embeddings.vectors.len() * length * 4);
    let usage = embeddings.usage.unwrap_or_default();
    let flag = embeddings.usage.map_or(NO_USAGE, |usage| if usage.estimated { ESTIMATED } else { REPORTED });
    out.extend([RECORD, flag]);
    for number in [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens] {
        out.put_u64_le(number);
    }
    for number in [embeddings.model.len(), embeddings.vectors.len(), length] {
        out.put_u64_le(number as u64);
    }
    out.extend_from_slice(embeddings.model.as_bytes());
    for vector in &embeddings.vectors {
        let start = out.len();
        out.resize(start + vector.len() * 4, 0);
        // Without a look at the room for each number this is one copy.
        let (places, _) = out[start..].as_chunks_mut::<4>();
        places.iter_mut().zip(vector).for_each(|(place, number)| *place = number.to_le_bytes());
    }
    out
}

fn read_record(mut bytes: &[u8]) -> Option<Embeddings> {
    if bytes.try_get_u8().ok()? != RECORD {
        return None;
    }
    let flag = bytes.try_get_u8().ok()?;
    let mut number = || bytes.try_get_u64_le().ok();
    let (prompt_tokens, completion_tokens, total_tokens) = (number()?, number()?, number()?);
    let (model, count, length) = (number()?, number()?, number()?);
    let usage =
        Usage { prompt_tokens, completion_tokens, total_tokens, estimated: flag == ESTIMATED, ..Usage::default() };
    let (model, vectors) = bytes.split_at_checked(usize::try_from(model).ok()?)?;
    let size = count.checked_mul(length)?.checked_mul(4)?;
    if flag > ESTIMATED || length == 0 || count == 0 || vectors.len() as u64 != size {
        return None;
    }
    let vectors = vectors.chunks_exact(usize::try_from(length).ok()?.checked_mul(4)?);
    Some(Embeddings {
        vectors: vectors.map(numbers).collect(),
        model: std::str::from_utf8(model).ok()?.to_owned(),
        usage: (flag != NO_USAGE).then_some(usage),
    })
}
