//! What providers' codes and phrases stand for, all in lower case. Which of them counts where, `failure.rs` says.

/// Codes of an account without means, under any status.
pub(super) const QUOTA_CODES: &[&str] = &[
    "insufficient_quota",
    "quota_exceeded",
    "quotaexceeded",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "enforced_spend_limit_reached",
    "insufficient_balance",
    "insufficient_credits",
    "credit_limit",
    "payment_required",
    "exceeded_current_quota_error",
    "arrearage",
    // OpenRouter's `limit_source`.
    "openrouter_credits",
    "openrouter_key_limit",
    "openrouter_guardrail_budget",
    "openrouter_workspace_budget",
];

/// How providers say that.
pub(super) const QUOTA_PHRASES: &[&str] = &[
    "credit balance is too low", // Anthropic
    "api usage limits",          // Anthropic: a limit that the account's owner has set
    "insufficient balance",      // DeepSeek, Zhipu, Jina
    "insufficient credits",      // OpenRouter
    "requires more credits",     // OpenRouter
    "free-models-per-day",       // OpenRouter
    "exceeded your current quota",
    "billing hard limit",
    "monthly spending limit",   // xAI, Fireworks
    "doesn't have any credits", // xAI
    "out of call volume quota", // Azure's gateway
];

/// Codes of a request that is longer than the model's context, under any status.
pub(super) const TOO_LONG_CODES: &[&str] = &[
    "context_length_exceeded",
    "exceed_context_size_error",
    "context_window_exceeded",
    "model_max_prompt_tokens_exceeded",
    "tokens_limit_reached",
];

/// How providers say that.
pub(super) const TOO_LONG_PHRASES: &[&str] = &[
    "context length",               // OpenAI, Mistral, vLLM, SGLang, Ollama, LM Studio, DeepSeek, OpenRouter
    "context window",               // OpenAI's responses, MiniMax
    "contextwindowexceeded",        // LiteLLM
    "context limit",                // Anthropic: input and max_tokens together
    "context size",                 // llama.cpp
    "prompt is too long",           // Anthropic, Fireworks
    "input is too long",            // Bedrock
    "too many input tokens",        // Bedrock: embeddings
    "input token count",            // Gemini
    "maximum number of tokens",     // Gemini
    "maximum prompt length",        // xAI
    "maximum model length",         // vLLM
    "max_model_len",                // vLLM
    "max_seq_len",                  // SGLang and its kin
    "token limit",                  // Moonshot
    "too many tokens",              // Cohere
    "max allowed tokens",           // Voyage
    "exceeds maximum length",       // Jina
    "`inputs` must have less than", // TEI
    "`inputs` tokens + `max_new_tokens`", // TGI, Together
    "range of input length",        // DashScope
    "reduce the length of the messages", // Groq, Cerebras
    "too large to process",         // llama.cpp: longer than its batch
];

/// How servers say under 413 that a request has more bytes or inputs than they take.
pub(super) const TOO_LARGE_PHRASES: &[&str] = &[
    "exceeds the maximum size",   // Anthropic
    "maximum allowed batch size", // TEI
    "length limit exceeded",      // TEI
];

/// Codes of a filter that refused the request's content.
pub(super) const FILTER_CODES: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "data_inspection_failed",
    "moderation_blocked",
    "prohibited_content",
    // OpenAI's responses.
    "bio_policy",
    "image_content_policy_violation",
    "misalignment_policy_violation",
];

/// How providers say that.
pub(super) const FILTER_PHRASES: &[&str] = &[
    "content management policy", // Azure
    "content policy",
    "violates usage guidelines", // xAI
    "requires moderation",       // OpenRouter
    "input was flagged",         // OpenRouter
    "prompt was blocked",        // Gemini
];

/// Codes of a key without access, and of a model that this deployment does not have.
pub(super) const AUTH_CODES: &[&str] = &[
    "invalid_api_key",
    "authentication_error",
    "permission_error",
    "permission_denied",
    "unauthenticated",
    "unauthorized",
    "api_key_invalid",
    "account_deactivated",
    "failed_precondition",
    "model_not_found",
    "model_not_available",
    "unknown_model",
    "not_found_error",
    "deploymentnotfound",
    "model_decommissioned",
    "invalid_model",
    "model_not_supported",
    "operationnotsupported",
    // LiteLLM's proxy without a database, under 400: it looks there for every key that is not its master key.
    "no_db_connection",
    // AWS, some of them under 400.
    "accessdeniedexception",
    "unrecognizedclientexception",
    "expiredtokenexception",
    "invalidsignatureexception",
    "incompletesignature",
    "notauthorized",
    "requestexpired",
    "resourcenotfoundexception",
];

/// Words for that, under a status that says neither.
pub(super) const AUTH_PHRASES: &[&str] = &[
    "api key not valid",
    "api key expired",
    "incorrect api key",
    "invalid api key",
    "organization must be verified to use", // OpenAI: newer models
    "invalid model",
    "is not a valid model",
    "model not found",
    "model not exist", // DeepSeek
    "model does not exist",
    "no models loaded",                       // LM Studio
    "is not supported. supported models are", // Voyage
    "model identifier is invalid",            // Bedrock
    "on-demand throughput isn",               // Bedrock: the model is there under another name only
    "you do not have access to it",
];

/// Codes of an earlier answer that a request goes on from, and that is not there.
pub(super) const STATE_CODES: &[&str] =
    &["previous_response_not_found", "conversation_not_found", "invalid_encrypted_content", "item_not_found"];

/// How providers say that.
pub(super) const STATE_PHRASES: &[&str] = &[
    "previous response with id", // OpenAI
    "conversation with id",      // OpenAI
    "response with id",          // vLLM
    "previous_response_id",      // those that keep nothing
    "item with id",              // OpenAI, of an item that it does not keep
    "items are not persisted",
    "the encrypted content", // OpenAI, of reasoning that another account has sealed
    "vector store with id",
    "prompt with id",
    "container with id",
    "no such file",
];

/// The code under which `OpenAI` passes on what a tool server of the caller's says, whatever its status was.
pub(super) const CONNECTOR_CODES: &[&str] = &["external_connector_error"];

/// How providers say that a model or a server has no tools, no eyes or no ears, or gives no streams.
pub(super) const UNSUPPORTED_PHRASES: &[&str] = &[
    "must be verified to stream", // OpenAI
    "does not support stream",    // many a proxy, of a model that gives whole answers
    "streaming is not supported",
    "stream is not supported",
    "streaming not supported",
    "no endpoints found that support", // OpenRouter: tools, images, a `tool_choice`
    "is deprecated for this model",    // Anthropic: `temperature` and its like
    "to control thinking behavior",    // Anthropic: thinking that cannot be turned off
    "does not support tools",          // Ollama
    "does not support image",          // what many proxies say
    "tool choice requires --enable-auto-tool-choice", // vLLM
    "is not a multimodal model",       // vLLM
    "image input is not supported",    // llama.cpp, under 500
    "audio input is not supported",    // llama.cpp, under 500
    "tools param requires --jinja",    // llama.cpp, under 500
    "unsupported param: tools",        // llama.cpp before that, under 500
    "'loc': ('body'",                  // llama-cpp-python, under 500: a field that its validation refuses
    "logprobs is not supported",       // llama-cpp-python, under 500
    "created with embedding=true",     // llama-cpp-python, under 500: a model without vectors
];

/// Codes of too many requests or too little room for them, under any status.
pub(super) const RATE_CODES: &[&str] = &[
    "rate_limit_exceeded",
    "rate_limit_error",
    "rate_limited",
    "rate_limit_reached",
    "ratelimitreached",
    "too_many_requests",
    "throttlingexception",
    "throttling",
    "toomanyrequestsexception",
    "servicequotaexceededexception",
    "modelnotreadyexception",
    "resource_exhausted",
    "overloaded",
    "overloaded_error",
    "engine_overloaded_error",
    "slow_down",
    "service_tier_capacity_exceeded",
];

/// How providers say that.
pub(super) const RATE_PHRASES: &[&str] = &["rate limit", "ratelimit", "too many requests"];

/// Codes of a server's fault, where there is no status.
pub(super) const TRANSIENT_CODES: &[&str] = &[
    "server_error",
    "internal_server_error",
    "internalservererror",
    "internal_error",
    "internal",
    "api_error",
    "service_unavailable",
    "service_unavailable_error",
    "unavailable",
    "timeout_error",
    "deadline_exceeded",
    "vector_store_timeout",
    "internalserverexception",
    "serviceunavailableexception",
    "modelstreamerrorexception",
    "modeltimeoutexception",
    "modelerrorexception",
];

/// Codes of the caller's fault, where there is no status.
pub(super) const REJECTED_CODES: &[&str] = &[
    "invalid_request_error",
    "invalid_argument",
    "badrequesterror",
    "bad_request",
    "validation_error",
    "validation",
    "validationexception",
    // OpenAI's responses.
    "invalid_prompt",
    "invalid_image",
    "invalid_image_format",
    "invalid_base64_image",
    "invalid_image_url",
    "invalid_image_mode",
    "image_too_large",
    "image_too_small",
    "image_parse_error",
    "image_file_too_large",
    "unsupported_image_media_type",
    "empty_image_file",
];
