//! What an answer that is not a success means: a pure function over status, headers and body.
//!
//! Two mistakes are to be avoided: trying again what is the caller's fault, and giving up on other deployments for what
//! is one deployment's fault. So codes are believed before phrases and phrases before the status, and a deployment that
//! lacks the model, or is not where `baseUrl` says, is out like one with a dead key ([`FailureClass::Auth`]): the others
//! are asked, and the provider's words say why.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::words::{MAX_MESSAGE_BYTES, Words, masked};
use crate::connections::{MAX_RETRY_AFTER, Rejection, cut, request_id, retry_after};
use crate::constants::MAX_ERROR_BODY_BYTES;
use crate::error::{Failure, FailureClass};

/// Codes of an account without means, under any status.
const QUOTA_CODES: &[&str] = &[
    "insufficient_quota",
    "quota_exceeded",
    "quotaexceeded",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "insufficient_balance",
    "insufficient_credits",
    "payment_required",
    "exceeded_current_quota_error",
    "arrearage",
];

const QUOTA_PHRASES: &[&str] = &[
    "credit balance is too low",
    "insufficient balance",
    "insufficient credits",
    "requires more credits",
    "exceeded your current quota",
    "billing hard limit",
    "out of call volume quota",
];

const TOO_LONG_CODES: &[&str] = &[
    "context_length_exceeded",
    "exceed_context_size_error",
    "context_window_exceeded",
    "model_max_prompt_tokens_exceeded",
    "tokens_limit_reached",
];

/// How providers say that a request is longer than their model's context.
const TOO_LONG_PHRASES: &[&str] = &[
    "context length",                     // OpenAI, Mistral, vLLM, Ollama, LM Studio, DeepSeek, OpenRouter
    "context window",                     // OpenAI's responses, MiniMax
    "context limit",                      // Anthropic: input and max_tokens together
    "context size",                       // llama.cpp
    "prompt is too long",                 // Anthropic, Fireworks
    "input is too long",                  // Bedrock
    "input token count",                  // Gemini
    "maximum number of tokens",           // Gemini
    "maximum prompt length",              // xAI
    "maximum model length",               // vLLM
    "max_model_len",                      // vLLM
    "max_seq_len",                        // SGLang and its kin
    "token limit",                        // Moonshot
    "too many tokens",                    // Cohere
    "max allowed tokens",                 // Voyage
    "exceeds maximum length",             // Jina
    "`inputs` must have less than",       // TEI
    "`inputs` tokens + `max_new_tokens`", // TGI, Together
    "range of input length",              // DashScope
    "reduce the length of the messages",  // Groq, Cerebras
    "too large to process",               // llama.cpp: longer than its batch
];

const FILTER_CODES: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "data_inspection_failed",
    "moderation_blocked",
    "prohibited_content",
];

const FILTER_PHRASES: &[&str] =
    &["content management policy", "content policy", "requires moderation", "input was flagged", "prompt was blocked"];

const AUTH_CODES: &[&str] = &[
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
    "not_found_error",
    "deploymentnotfound",
    "model_decommissioned",
    "invalid_model",
    "model_not_supported",
    "operationnotsupported",
];

/// Words for a dead key, or for a model that is not there, under a status that says neither.
const AUTH_PHRASES: &[&str] = &[
    "api key not valid",
    "api key expired",
    "incorrect api key",
    "invalid api key",
    "invalid model",
    "is not a valid model",
    "model not found",
    "model does not exist",
    "you do not have access to it",
];

const RATE_CODES: &[&str] = &[
    "rate_limit_exceeded",
    "rate_limit_error",
    "rate_limited",
    "rate_limit_reached",
    "ratelimitreached",
    "too_many_requests",
    "throttlingexception",
    "throttling",
    "resource_exhausted",
    "overloaded_error",
    "engine_overloaded_error",
    "service_tier_capacity_exceeded",
];

const RATE_PHRASES: &[&str] = &["rate limit", "ratelimit", "too many requests"];

const TRANSIENT_CODES: &[&str] = &[
    "server_error",
    "internal_server_error",
    "internal_error",
    "internal",
    "api_error",
    "service_unavailable",
    "unavailable",
    "timeout_error",
    "deadline_exceeded",
];

const REJECTED_CODES: &[&str] =
    &["invalid_request_error", "invalid_argument", "badrequesterror", "bad_request", "validation_error"];

/// What an answer with a status that is not a success means.
///
/// The failure carries the status, the body (at most 64 KiB) and the message without anything that looks like a key, the
/// provider's id of the request, and the delay that it asks for: `retry-after-ms`, `retry-after` or Google's `RetryInfo`.
#[must_use]
pub fn classify(rejection: &Rejection<'_>) -> Failure {
    classify_at(rejection, SystemTime::now())
}

/// The same at a given time, which a `retry-after` date counts from.
#[must_use]
pub fn classify_at(rejection: &Rejection<'_>, now: SystemTime) -> Failure {
    let mut words = Words::read(rejection.body);
    // Bedrock says its code in a header alone.
    let code = rejection.headers.get("x-amzn-errortype").and_then(|code| code.to_str().ok());
    words.codes.extend(code.and_then(|code| code.split(':').next()).map(str::to_ascii_lowercase));
    let class = class(rejection.status, &words);
    failure(class, Some(rejection.status), rejection.headers, rejection.body, words, now)
}

/// The failure in the data of a successful answer, whole or one event of a stream: `{"error": ...}`, or a list of one.
///
/// Classified by its codes and its words; what says neither is [`FailureClass::Transient`], because the provider had
/// begun to answer. Costs one search when there is none.
#[must_use]
pub fn in_band(data: &str) -> Option<Failure> {
    #[derive(Deserialize)]
    struct Probe<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
        object: Option<&'a RawValue>,
    }

    memchr::memmem::find(data.as_bytes(), b"\"error\"")?;
    let object = data.trim_start().strip_prefix('[').unwrap_or(data);
    let probe = Probe::deserialize(&mut serde_json::Deserializer::from_str(object)).ok()?;
    let is_empty = |raw: &&RawValue| matches!(raw.get(), "null" | "false" | "\"\"" | "{}" | "[]");
    let is_object = probe.object.is_some_and(|object| object.get() == "\"error\"");
    let error = probe.error.filter(|error| !is_empty(error));
    if error.is_none() && !is_object {
        return None;
    }
    let words = Words::read(data);
    let class = class(words.status.unwrap_or_default(), &words);
    let status = words.status;
    Some(failure(class, status, &HeaderMap::new(), data, words, SystemTime::UNIX_EPOCH))
}

/// Why a whole answer with a status of success is none: a failure in an answer's clothes ([`in_band`]), or else `reason`, the
/// failure of whoever tried to read it. What came is named if it is not even JSON: a proxy's page by its title, a text by
/// its first words, and nothing as such.
#[must_use]
pub fn not_an_answer(headers: &HeaderMap, body: &[u8], reason: Failure) -> Failure {
    let text = String::from_utf8_lossy(body.get(..MAX_ERROR_BODY_BYTES).unwrap_or(body));
    if let Some(failure) = std::str::from_utf8(body).ok().and_then(in_band) {
        return Failure { request_id: request_id(headers).or(failure.request_id), ..failure };
    }
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let sort = content_type.map_or_else(|| "without a content-type".to_owned(), |text| format!("of type {text}"));
    let what = match start.chars().next() {
        None if body.is_empty() => format!("it is empty, {sort}"),
        None => format!("it is nothing but white space, {sort}"),
        Some('{' | '[') => return Failure { body: reason.body.map(|body| masked(&body)), ..reason },
        Some('<') => format!("it is a page, {sort}: {}", Words::read(start).message),
        Some(_) => format!("it is not JSON but {sort}: {}", Words::read(start).message),
    };
    let mut message = format!("the answer cannot be used: {what}");
    cut(&mut message, MAX_MESSAGE_BYTES);
    let body = Some(masked(&text)).filter(|body| !body.is_empty());
    Failure { message, body, request_id: request_id(headers), ..Failure::new(FailureClass::Truncated, "") }
}

/// Puts together what is known.
fn failure(
    class: FailureClass,
    status: Option<u16>,
    headers: &HeaderMap,
    body: &str,
    words: Words,
    now: SystemTime,
) -> Failure {
    let reason = || {
        let known = status.and_then(|status| StatusCode::from_u16(status).ok()?.canonical_reason());
        format!("{} (the answer has no body)", known.unwrap_or("an unknown status"))
    };
    let message = if words.message.is_empty() { reason() } else { words.message };
    // Masked before the last cut, lest it make a key look harmless.
    let mut kept = body.to_owned();
    cut(&mut kept, 2 * MAX_ERROR_BODY_BYTES);
    kept = masked(&kept);
    cut(&mut kept, MAX_ERROR_BODY_BYTES);
    let asked = words.retry_s.and_then(|delay| Duration::try_from_secs_f64(delay).ok());
    Failure {
        status,
        body: Some(kept).filter(|body| !body.is_empty()),
        request_id: request_id(headers).or(words.request_id),
        retry_after: retry_after(headers, now).or(asked.map(|delay| delay.min(MAX_RETRY_AFTER))),
        ..Failure::new(class, message)
    }
}

/// The class, by the first rule that holds. A status of 0 is none.
fn class(status: u16, words: &Words) -> FailureClass {
    // A request that is larger than a whole minute's tokens fails for ever there, whatever its status promises.
    if words.says(&["request too large for"]) && words.says(&["tokens per min"]) {
        return FailureClass::TooLong;
    }
    let is_google = words.has_code(&["resource_exhausted"]);
    if is_google {
        // Google speaks of quota for every limit; only the daily one is worth leaving the deployment for.
        let is_daily = words.codes.iter().any(|code| code.contains("perday"));
        return if is_daily { FailureClass::Quota } else { FailureClass::RateLimited };
    }
    if status == 402 || words.has_code(QUOTA_CODES) || words.says(QUOTA_PHRASES) {
        return FailureClass::Quota;
    }
    if words.has_code(FILTER_CODES) || (matches!(status, 0 | 400 | 403 | 422) && words.says(FILTER_PHRASES)) {
        return FailureClass::Rejected;
    }
    let may_be_too_long = matches!(status, 0 | 400 | 413 | 422 | 500);
    if words.has_code(TOO_LONG_CODES) || (may_be_too_long && words.says(TOO_LONG_PHRASES)) {
        return FailureClass::TooLong;
    }
    if words.has_code(RATE_CODES) || (!matches!(status, 400 | 409 | 413 | 415 | 422) && words.says(RATE_PHRASES)) {
        return FailureClass::RateLimited;
    }
    if words.has_code(AUTH_CODES) || (matches!(status, 0 | 400) && words.says(AUTH_PHRASES)) {
        return FailureClass::Auth;
    }
    match status {
        0 if words.has_code(TRANSIENT_CODES) => FailureClass::Transient,
        0 if words.has_code(REJECTED_CODES) => FailureClass::Rejected,
        413 if words.says(&["token"]) => FailureClass::TooLong,
        // 498 is Groq's word for no capacity, 529 Anthropic's.
        429 | 498 | 529 => FailureClass::RateLimited,
        // A redirect and a missing page are a wrong address; 407 is the proxy's 401.
        300..=399 | 401 | 403 | 404 | 405 | 407 | 410 => FailureClass::Auth,
        // 424 is TEI's word for a failed backend, 499 Google's and nginx's for an exchange that was dropped.
        408 | 424 | 425 | 499 => FailureClass::Transient,
        400..=499 => FailureClass::Rejected,
        _ => FailureClass::Transient,
    }
}
