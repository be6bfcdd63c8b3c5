//! What makes two requests the same question: 256 bits over everything that decides the answer, and nothing else.

use std::fmt;
use std::sync::Arc;

use super::canonical;
use crate::kinds::{Body, Field};

/// Counts up when the bytes that are hashed change their meaning; every older answer is then out of reach.
pub(super) const KEY_VERSION: u8 = 1;

/// What a field of a body is to the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It decides the answer.
    InKey,
    /// It does not, and this is why.
    LeftOut(&'static str),
}

/// Where a known field belongs; `docs/cache.md` shows this as a table. A field that is not known is part of the key:
/// asking once too often is cheaper than one wrong answer.
///
/// Every field has to be named here, so that a new one does not compile until it is placed.
#[must_use]
#[rustfmt::skip]
pub fn placement(field: Field) -> Placement {
    use Placement::{InKey, LeftOut};
    match field {
        // What is asked.
        Field::Message | Field::Messages | Field::Input | Field::Query | Field::Documents | Field::Texts
        | Field::Instructions | Field::Prompt | Field::PreviousResponseId | Field::Conversation | Field::Image
        // How the answer is drawn.
        | Field::Temperature | Field::TopP | Field::TopK | Field::Seed | Field::FrequencyPenalty
        | Field::PresencePenalty | Field::LogitBias | Field::ReasoningEffort | Field::Reasoning | Field::Verbosity
        | Field::Prediction | Field::ContextManagement | Field::AccessPrograms
        // How much of it there is, and where it ends.
        | Field::MaxTokens | Field::MaxCompletionTokens | Field::MaxOutputTokens | Field::MaxToolCalls | Field::N
        | Field::Stop
        // What it is made of.
        | Field::ResponseFormat | Field::Text | Field::Include | Field::Modalities | Field::Audio | Field::Logprobs | Field::TopLogprobs
        | Field::Moderation
        // What it may use.
        | Field::Tools | Field::ToolChoice | Field::ParallelToolCalls | Field::Functions | Field::FunctionCall
        | Field::WebSearchOptions
        // Which vectors.
        | Field::Dimensions | Field::OutputDimension | Field::OutputDtype | Field::EmbeddingTypes | Field::InputType
        | Field::Task | Field::LateChunking | Field::Normalized
        // What is read of a text or a document, and what a ranking shows.
        | Field::Truncate | Field::Truncation | Field::TruncationDirection | Field::MaxTokensPerDoc
        | Field::MaxChunksPerDoc | Field::RankFields | Field::TopN | Field::RawScores | Field::ReturnDocuments
        | Field::ReturnText
        // What the caller gets beside the answer: equal keys share one call, and whoever pays for being fast must not
        // wait for one that does not, nor go without the provider's copy because somebody else wanted none.
        | Field::ServiceTier | Field::Priority | Field::Store | Field::Background => InKey,

        Field::Model => LeftOut("the set of models is in the key; thryd writes this field itself"),
        Field::Stream | Field::StreamOptions =>
            LeftOut("how the answer travels; a stream and a whole answer serve each other"),
        Field::EncodingFormat => LeftOut("how vectors travel; they are stored as numbers"),
        Field::User | Field::SafetyIdentifier =>
            LeftOut("who asks, for the provider's abuse detection; tenants that must not share have namespaces"),
        Field::Metadata => LeftOut("tags for the provider's dashboard"),
        Field::PromptCacheKey | Field::PromptCacheOptions | Field::PromptCacheRetention =>
            LeftOut("where the provider keeps its own cache"),
        Field::Timeout => LeftOut("how long the caller waits"),
    }
}

fn is_left_out(name: &str) -> bool {
    Field::of(name).is_some_and(|field| placement(field) != Placement::InKey)
}

/// The fields that decide the answer.
pub(super) fn deciding(body: &Body) -> impl Iterator<Item = (&str, &str)> {
    body.iter().filter(|(name, raw)| !is_left_out(name) && raw.trim() != "null")
}

/// The models in the order of their bytes, each once.
pub(super) fn distinct<'a>(models: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut models: Vec<_> = models.collect();
    models.sort_unstable();
    models.dedup();
    models
}

/// Memory for the key of a larger body is taken as it is needed: what is long in it is not copied.
const LARGE_BODY_BYTES: usize = 64 << 10;

/// Names one question. Prints as its first 8 bytes in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

impl Key {
    /// Names the question as it is asked within this group.
    #[must_use]
    pub fn within(&self, group: &str) -> Self {
        Self(*blake3::keyed_hash(&self.0, group.as_bytes()).as_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Makes the keys of one group of models, for one kind, in one namespace.
///
/// A key is the BLAKE3 hash of these bytes, each text with its length in bytes before it (64 bits, little-endian), so
/// that no two lists of texts run together: the key version (one byte), the namespace, the kind, the number of distinct
/// models, each model in the order of its bytes, the canonical body.
#[derive(Clone)]
pub struct KeyBuilder {
    /// Namespace and kind.
    tenant: Vec<u8>,
    models: Arc<[u8]>,
}

impl KeyBuilder {
    /// For these models (`provider::model`), in any order, of a group.
    pub fn new<'a>(namespace: &str, kind: &str, models: impl Iterator<Item = &'a str>) -> Self {
        let models = distinct(models);
        let mut bytes = Vec::new();
        push_length(&mut bytes, models.len());
        for model in models {
            push_text(&mut bytes, model);
        }
        Self { tenant: Vec::new(), models: bytes.into() }.within(namespace, kind)
    }

    /// For the same models, in another namespace or for another kind.
    #[must_use]
    pub fn within(&self, namespace: &str, kind: &str) -> Self {
        let mut tenant = vec![KEY_VERSION];
        push_text(&mut tenant, namespace);
        push_text(&mut tenant, kind);
        Self { tenant, models: Arc::clone(&self.models) }
    }

    /// The key of a body. A field that is null counts as absent; inside a field null is a value.
    #[must_use]
    pub fn body(&self, body: &Body) -> Key {
        let room = self.tenant.len() + self.models.len() + 8 + body.len().min(LARGE_BODY_BYTES);
        let mut bytes = Vec::with_capacity(room);
        bytes.extend_from_slice(&self.tenant);
        bytes.extend_from_slice(&self.models);
        push_length(&mut bytes, 0);
        let start = bytes.len();
        let mut canonical = canonical::write_object(deciding(body), bytes);
        let length = canonical.len() as u64;
        canonical.out[start - 8..start].copy_from_slice(&length.to_le_bytes());
        let mut hasher = blake3::Hasher::new();
        canonical.give(|piece| _ = hasher.update(piece));
        Key(*hasher.finalize().as_bytes())
    }
}

impl fmt::Debug for KeyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyBuilder").finish_non_exhaustive()
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    push_length(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend_from_slice(&(length as u64).to_le_bytes());
}
