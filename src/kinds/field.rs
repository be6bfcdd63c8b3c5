//! The fields of the wire bodies that are documented somewhere: what can be asked for, by name.
//!
//! Not a filter: a field that is not here travels as well. It is here so that whoever has to decide something about
//! every field, as the cache's key does, is made to decide about a new one too.

/// Makes the enum, its names and its list from one table, sorted by name.
macro_rules! fields {
    ($($variant:ident = $name:literal,)+) => {
        /// A field of a request's body that OpenAI documents for chat completions, responses and embeddings, or that Cohere, Jina,
        /// Voyage or Text Embeddings Inference document for embeddings and reranking.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "each is its own name")]
        pub enum Field { $($variant,)+ }

        impl Field {
            /// All of them, in the order of their names.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            const NAMES: &[&str] = &[$($name,)+];

            /// Its name in a body, e.g. `max_tokens`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

fields! {
    AccessPrograms = "access_programs",
    Audio = "audio",
    Background = "background",
    ContextManagement = "context_management",
    Conversation = "conversation",
    Dimensions = "dimensions",
    Documents = "documents",
    EmbeddingTypes = "embedding_types",
    EncodingFormat = "encoding_format",
    FrequencyPenalty = "frequency_penalty",
    FunctionCall = "function_call",
    Functions = "functions",
    Image = "image",
    Include = "include",
    Input = "input",
    InputType = "input_type",
    Instructions = "instructions",
    LateChunking = "late_chunking",
    LogitBias = "logit_bias",
    Logprobs = "logprobs",
    MaxChunksPerDoc = "max_chunks_per_doc",
    MaxCompletionTokens = "max_completion_tokens",
    MaxOutputTokens = "max_output_tokens",
    MaxTokens = "max_tokens",
    MaxTokensPerDoc = "max_tokens_per_doc",
    MaxToolCalls = "max_tool_calls",
    Message = "message",
    Messages = "messages",
    Metadata = "metadata",
    Modalities = "modalities",
    Model = "model",
    Moderation = "moderation",
    N = "n",
    Normalized = "normalized",
    OutputDimension = "output_dimension",
    OutputDtype = "output_dtype",
    ParallelToolCalls = "parallel_tool_calls",
    Prediction = "prediction",
    PresencePenalty = "presence_penalty",
    PreviousResponseId = "previous_response_id",
    Priority = "priority",
    Prompt = "prompt",
    PromptCacheKey = "prompt_cache_key",
    PromptCacheOptions = "prompt_cache_options",
    PromptCacheRetention = "prompt_cache_retention",
    Query = "query",
    RankFields = "rank_fields",
    RawScores = "raw_scores",
    Reasoning = "reasoning",
    ReasoningEffort = "reasoning_effort",
    ResponseFormat = "response_format",
    ReturnDocuments = "return_documents",
    ReturnText = "return_text",
    SafetyIdentifier = "safety_identifier",
    Seed = "seed",
    ServiceTier = "service_tier",
    Stop = "stop",
    Store = "store",
    Stream = "stream",
    StreamOptions = "stream_options",
    Task = "task",
    Temperature = "temperature",
    Text = "text",
    Texts = "texts",
    Timeout = "timeout",
    ToolChoice = "tool_choice",
    Tools = "tools",
    TopK = "top_k",
    TopLogprobs = "top_logprobs",
    TopN = "top_n",
    TopP = "top_p",
    Truncate = "truncate",
    Truncation = "truncation",
    TruncationDirection = "truncation_direction",
    User = "user",
    Verbosity = "verbosity",
    WebSearchOptions = "web_search_options",
}

impl Field {
    /// The field of this name; `None` if it is not a known one.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let place = Self::NAMES.binary_search(&name).ok()?;
        Some(Self::ALL[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name_and_no_other_is() {
        assert!(Field::NAMES.is_sorted_by(|a, b| a < b));
        for field in Field::ALL {
            assert_eq!(Field::of(field.name()), Some(*field));
        }
        for name in ["", "Messages", "messages ", "x_new", "zzz"] {
            assert_eq!(Field::of(name), None, "{name}");
        }
    }
}
