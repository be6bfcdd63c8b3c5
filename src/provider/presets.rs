//! One table: every provider that ships with the crate, and where it departs from OpenAI's dialect (`docs/providers.md`).

use super::BatchLimit;
use super::gemini;
use super::rerank::{self, RerankShape};

/// A provider, and where it departs from OpenAI's dialect.
#[derive(Debug)]
pub(super) struct Preset {
    /// The `type` of the options, and the name unless another is given.
    pub kind: &'static str,
    /// Base URL; `None` if the options have to say it.
    pub base_url: Option<&'static str>,
    /// Environment variables that may hold the key, the first one found counts.
    pub key_variables: &'static [&'static str],
    /// Environment variable that may hold the base URL.
    pub url_variable: Option<&'static str>,
    /// Whether it answers nobody without a key.
    pub needs_key: bool,
    /// What it speaks; what stands below is about OpenAI's dialect.
    pub dialect: Dialect,
    /// The header that carries the key.
    pub key_header: KeyHeader,
    /// How it does chat completions.
    pub completion: Option<CompletionShape>,
    /// How it does embeddings.
    pub embedding: Option<EmbeddingShape>,
    /// How it does rerank.
    pub rerank: Option<&'static RerankShape>,
    /// How it does the Responses API.
    pub response: Option<ResponseShape>,
    /// Whether prompt tokens that it took from its own cache count against its tokens per minute, as they do unless its
    /// documentation says otherwise.
    pub limits_cached_tokens: bool,
    /// Whether a kind that the table does not know is sent to its own path as it is.
    pub is_open: bool,
}

/// What a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAI's, more or less.
    OpenAi,
    /// The same at Azure's URLs, which may have the version of the API in their query.
    Azure,
    /// Anthropic's Messages API.
    Anthropic,
}

/// The header that carries the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyHeader {
    /// `authorization: Bearer <key>`.
    Bearer,
    /// `api-key: <key>`.
    ApiKey,
}

/// Chat completions.
#[derive(Clone, Copy, Debug)]
pub(super) struct CompletionShape {
    /// Below the base URL.
    pub path: &'static str,
    /// What it calls `max_completion_tokens`.
    pub max_tokens: &'static str,
    /// Whether it takes `stream_options.include_usage`; those that do not, send usage anyway or refuse the field.
    pub takes_stream_options: bool,
    /// Fields that it refuses, and that no answer depends on.
    pub left_out: &'static [&'static str],
    /// Whether its tool calls are to be mended as Gemini's.
    pub calls_like_gemini: bool,
    /// Whether messages keep the blocks that they have from Anthropic: others stand behind it, and one may be that. Most
    /// refuse what they do not know.
    pub takes_blocks: bool,
}

/// Embeddings.
#[derive(Clone, Copy, Debug)]
pub(super) struct EmbeddingShape {
    /// Below the base URL.
    pub path: &'static str,
    /// Whether it takes `encoding_format: "base64"`, a fifth of the bytes of floats.
    pub takes_base64: bool,
    /// What it calls `dimensions`.
    pub dimensions: &'static str,
    /// The most of one request.
    pub batch: BatchLimit,
}

/// The Responses API.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseShape {
    /// Below the base URL.
    pub path: &'static str,
    /// Whether it stands beside the version that the base URL ends in, not below it.
    pub is_beside_version: bool,
}

const RESPONSE: Option<ResponseShape> = Some(ResponseShape { path: "/responses", is_beside_version: false });

const COMPLETION: CompletionShape = CompletionShape {
    path: "/chat/completions",
    max_tokens: "max_completion_tokens",
    takes_stream_options: true,
    left_out: &[],
    calls_like_gemini: false,
    takes_blocks: false,
};
/// Whoever answers there may be a router itself.
const COMPLETION_OF_ANYONE: CompletionShape = CompletionShape { takes_blocks: true, ..COMPLETION };
/// Servers that only know the older name.
const OLDER_COMPLETION: CompletionShape = CompletionShape { max_tokens: "max_tokens", ..COMPLETION };

const EMBEDDING: EmbeddingShape = EmbeddingShape {
    path: "/embeddings",
    takes_base64: true,
    dimensions: "dimensions",
    batch: BatchLimit { inputs: 2048, tokens: 300_000 },
};

const fn embedding_batch(inputs: usize, tokens: u64) -> EmbeddingShape {
    EmbeddingShape { batch: BatchLimit { inputs, tokens }, ..EMBEDDING }
}

const fn floats(shape: EmbeddingShape) -> EmbeddingShape {
    EmbeddingShape { takes_base64: false, ..shape }
}

const PRESET: Preset = Preset {
    kind: "",
    base_url: None,
    key_variables: &[],
    url_variable: None,
    needs_key: true,
    dialect: Dialect::OpenAi,
    key_header: KeyHeader::Bearer,
    completion: Some(COMPLETION),
    embedding: None,
    rerank: None,
    response: None,
    limits_cached_tokens: true,
    is_open: false,
};

/// The table.
pub(super) const PRESETS: [Preset; 20] = [
    Preset {
        kind: "openai",
        base_url: Some("https://api.openai.com/v1"),
        key_variables: &["OPENAI_API_KEY"],
        url_variable: Some("OPENAI_BASE_URL"),
        embedding: Some(EMBEDDING),
        is_open: true,
        response: RESPONSE,
        ..PRESET
    },
    // No variable for its key: a key meant for OpenAI must not reach whoever answers here.
    Preset {
        kind: "openai-compatible",
        needs_key: false,
        completion: Some(COMPLETION_OF_ANYONE),
        embedding: Some(EMBEDDING),
        rerank: Some(&rerank::COHERE),
        is_open: true,
        response: RESPONSE,
        ..PRESET
    },
    Preset {
        kind: "azure",
        key_variables: &["AZURE_OPENAI_API_KEY"],
        key_header: KeyHeader::ApiKey,
        dialect: Dialect::Azure,
        embedding: Some(EMBEDDING),
        is_open: true,
        response: RESPONSE,
        ..PRESET
    },
    Preset {
        kind: "anthropic",
        base_url: Some("https://api.anthropic.com/v1"),
        key_variables: &["ANTHROPIC_API_KEY"],
        url_variable: Some("ANTHROPIC_BASE_URL"),
        dialect: Dialect::Anthropic,
        ..PRESET
    },
    Preset {
        kind: "gemini",
        base_url: Some("https://generativelanguage.googleapis.com/v1beta/openai"),
        key_variables: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        completion: Some(CompletionShape { left_out: &gemini::LEFT_OUT, calls_like_gemini: true, ..COMPLETION }),
        embedding: Some(floats(embedding_batch(100, 20_000))),
        ..PRESET
    },
    Preset {
        kind: "mistral",
        base_url: Some("https://api.mistral.ai/v1"),
        key_variables: &["MISTRAL_API_KEY"],
        completion: Some(CompletionShape { takes_stream_options: false, ..OLDER_COMPLETION }),
        embedding: Some(EmbeddingShape { dimensions: "output_dimension", ..floats(embedding_batch(128, 16_000)) }),
        response: RESPONSE,
        ..PRESET
    },
    Preset {
        kind: "groq",
        base_url: Some("https://api.groq.com/openai/v1"),
        key_variables: &["GROQ_API_KEY"],
        limits_cached_tokens: false,
        response: RESPONSE,
        ..PRESET
    },
    Preset {
        kind: "deepseek",
        base_url: Some("https://api.deepseek.com/v1"),
        key_variables: &["DEEPSEEK_API_KEY"],
        completion: Some(OLDER_COMPLETION),
        response: Some(ResponseShape { path: "/responses", is_beside_version: true }),
        ..PRESET
    },
    Preset {
        kind: "xai",
        base_url: Some("https://api.x.ai/v1"),
        key_variables: &["XAI_API_KEY"],
        response: RESPONSE,
        ..PRESET
    },
    Preset {
        kind: "together",
        base_url: Some("https://api.together.xyz/v1"),
        key_variables: &["TOGETHER_API_KEY"],
        completion: Some(OLDER_COMPLETION),
        embedding: Some(floats(embedding_batch(128, 100_000))),
        rerank: Some(&rerank::TOGETHER),
        response: RESPONSE,
        ..PRESET
    },
    Preset {
        kind: "fireworks",
        base_url: Some("https://api.fireworks.ai/inference/v1"),
        key_variables: &["FIREWORKS_API_KEY"],
        completion: Some(OLDER_COMPLETION),
        embedding: Some(floats(embedding_batch(128, 100_000))),
        rerank: Some(&rerank::FIREWORKS),
        response: RESPONSE,
        ..PRESET
    },
    Preset {
        kind: "openrouter",
        base_url: Some("https://openrouter.ai/api/v1"),
        key_variables: &["OPENROUTER_API_KEY"],
        completion: Some(COMPLETION_OF_ANYONE),
        embedding: Some(EMBEDDING),
        rerank: Some(&rerank::COHERE),
        response: RESPONSE,
        ..PRESET
    },
    Preset {
        kind: "perplexity",
        base_url: Some("https://api.perplexity.ai"),
        key_variables: &["PERPLEXITY_API_KEY"],
        completion: Some(CompletionShape { takes_stream_options: false, ..OLDER_COMPLETION }),
        response: Some(ResponseShape { path: "/v1/responses", is_beside_version: false }),
        ..PRESET
    },
    Preset {
        kind: "cohere",
        base_url: Some("https://api.cohere.ai"),
        key_variables: &["COHERE_API_KEY", "CO_API_KEY"],
        completion: Some(CompletionShape {
            path: "/compatibility/v1/chat/completions",
            takes_stream_options: false,
            ..OLDER_COMPLETION
        }),
        embedding: Some(EmbeddingShape { path: "/compatibility/v1/embeddings", ..embedding_batch(96, 100_000) }),
        rerank: Some(&rerank::COHERE_ITSELF),
        ..PRESET
    },
    Preset {
        kind: "jina",
        base_url: Some("https://api.jina.ai/v1"),
        key_variables: &["JINA_API_KEY"],
        completion: None,
        embedding: Some(floats(embedding_batch(512, 100_000))),
        rerank: Some(&rerank::JINA),
        ..PRESET
    },
    Preset {
        kind: "voyage",
        base_url: Some("https://api.voyageai.com/v1"),
        key_variables: &["VOYAGE_API_KEY"],
        completion: None,
        embedding: Some(EmbeddingShape { dimensions: "output_dimension", ..embedding_batch(1000, 120_000) }),
        rerank: Some(&rerank::VOYAGE),
        ..PRESET
    },
    // Its default --max-client-batch-size is 32.
    Preset {
        kind: "tei",
        key_variables: &["TEI_API_KEY"],
        needs_key: false,
        completion: None,
        embedding: Some(EmbeddingShape { path: "/v1/embeddings", ..embedding_batch(32, 16_384) }),
        rerank: Some(&rerank::TEI),
        ..PRESET
    },
    Preset {
        kind: "ollama",
        base_url: Some("http://localhost:11434/v1"),
        key_variables: &["OLLAMA_API_KEY"],
        needs_key: false,
        completion: Some(OLDER_COMPLETION),
        embedding: Some(embedding_batch(512, 300_000)),
        response: RESPONSE,
        ..PRESET
    },
    Preset {
        kind: "lmstudio",
        base_url: Some("http://localhost:1234/v1"),
        key_variables: &["LMSTUDIO_API_KEY"],
        needs_key: false,
        completion: Some(OLDER_COMPLETION),
        embedding: Some(floats(embedding_batch(512, 300_000))),
        response: RESPONSE,
        ..PRESET
    },
    Preset {
        kind: "vllm",
        base_url: Some("http://localhost:8000/v1"),
        key_variables: &["VLLM_API_KEY"],
        needs_key: false,
        embedding: Some(EMBEDDING),
        rerank: Some(&rerank::COHERE),
        is_open: true,
        response: RESPONSE,
        ..PRESET
    },
];
