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

use super::delay::delay_in;
use super::dialects::{
    AUTH_CODES, AUTH_PHRASES, CONNECTOR_CODES, FILTER_CODES, FILTER_PHRASES, QUOTA_CODES, QUOTA_PHRASES, RATE_CODES,
    RATE_PHRASES, REJECTED_CODES, STATE_CODES, STATE_PHRASES, TOO_LARGE_PHRASES, TOO_LONG_CODES, TOO_LONG_PHRASES,
    TRANSIENT_CODES, UNSUPPORTED_PHRASES,
};
use super::words::{MAX_MESSAGE_BYTES, Words, shorten};
use crate::connections::{MAX_RETRY_AFTER, Rejection, beginning, cut, request_id, retry_after};
use crate::constants::MAX_ERROR_BODY_BYTES;
use crate::error::{Failure, FailureClass, masked};

/// What an answer with a status that is not a success means.
///
/// The failure carries the status, the body (at most 64 KiB) and the message without anything that looks like a key, the
/// provider's id of the request, and the delay that it asks for: `retry-after-ms`, `retry-after`, Google's `RetryInfo`, Hugging
/// Face's `estimated_time`, or what the message of a rate limit says (`try again in 2s`).
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

/// The failure in the data of a successful answer, whole or one event of a stream: `{"error": ...}`, a list of one, a choice with
/// the finish reason `error`, or the Responses API's events `error` and `response.failed`.
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
        choices: Option<&'a RawValue>,
        #[serde(rename = "type")]
        kind: Option<&'a RawValue>,
        response: Option<&'a RawValue>,
    }

    memchr::memmem::find(data.as_bytes(), b"\"error\"")?;
    let object = data.trim_start().strip_prefix('[').unwrap_or(data);
    let probe = Probe::deserialize(&mut serde_json::Deserializer::from_str(object)).ok()?;
    let is = |raw: Option<&RawValue>, word: &str| raw.is_some_and(|raw| raw.get() == word);
    let words = match probe.error.filter(|error| !is_empty(error)) {
        // The failure of a long event is read alone: what a parsed value takes is many times what its text does.
        Some(error) if data.len() > MAX_ERROR_BODY_BYTES => Words::read(&format!("{{\"error\":{}}}", error.get())),
        Some(_) => Words::read(data),
        None if is(probe.object, "\"error\"") || is(probe.kind, "\"error\"") => Words::read(data),
        None if is(probe.kind, "\"response.failed\"") => failed(probe.response),
        None => broken_off(probe.choices?)?,
    };
    let class = class(words.status.unwrap_or_default(), &words);
    let status = words.status;
    Some(failure(class, status, &HeaderMap::new(), data, words, SystemTime::UNIX_EPOCH))
}

/// What is said of a response that failed in its stream.
fn failed(response: Option<&RawValue>) -> Words {
    #[derive(Deserialize)]
    struct Failed<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }

    let response: Option<Failed<'_>> = response.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let error = response.and_then(|response| response.error).filter(|error| !is_empty(error));
    Words::read(&format!("{{\"error\":{}}}", error.map_or(FAILED, RawValue::get)))
}

/// What stands for the words of a provider that failed without any.
const FAILED: &str = "\"the provider failed in the middle of its answer, with the status `failed`\"";

/// What was said when a choice ended with the finish reason `error`, as OpenRouter and Mistral end one that failed.
fn broken_off(choices: &RawValue) -> Option<Words> {
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow)]
        finish_reason: Option<&'a RawValue>,
        error: Option<&'a RawValue>,
    }

    let choices: Vec<Choice<'_>> = serde_json::from_str(choices.get()).ok()?;
    let choice =
        choices.iter().find(|choice| choice.finish_reason.is_some_and(|reason| reason.get() == "\"error\""))?;
    let error = choice.error.filter(|error| !is_empty(error)).map_or(BROKEN_OFF, RawValue::get);
    Some(Words::read(&format!("{{\"error\":{error}}}")))
}

/// What stands for the words of a provider that broke off without any.
const BROKEN_OFF: &str = "\"the provider broke off its answer, with the finish reason `error`\"";

fn is_empty(raw: &&RawValue) -> bool {
    matches!(raw.get(), "null" | "false" | "\"\"" | "{}" | "[]")
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
        Some('{' | '[') => {
            let body = Some(kept(reason.body.as_deref().unwrap_or(&text)));
            return Failure { message: masked(&reason.message), body, ..reason };
        }
        Some('<') => format!("it is a page, {sort}: {}", Words::read(start).message),
        Some(_) => format!("it is not JSON but {sort}: {}", Words::read(start).message),
    };
    let mut message = format!("the answer cannot be used: {what}");
    cut(&mut message, MAX_MESSAGE_BYTES);
    Failure {
        message,
        body: Some(kept(&text)),
        request_id: request_id(headers),
        ..Failure::new(FailureClass::Truncated, "")
    }
}

/// What is shown of a body: without keys, and not too long. Masked before the last cut, lest it make a key look harmless.
fn kept(body: &str) -> String {
    let mut kept = masked(beginning(body, 2 * MAX_ERROR_BODY_BYTES));
    cut(&mut kept, MAX_ERROR_BODY_BYTES);
    kept
}

/// The same failure as it may be shown, for one that somebody else put together: without keys, and not too long.
pub(super) fn presentable(failure: Failure) -> Failure {
    let message = shorten(&masked(&failure.message));
    let body = failure.body.as_deref().map(kept);
    Failure { message, body, ..failure }
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
    let said = || delay_in(&words.text).filter(|_| class == FailureClass::RateLimited);
    let asked = words.retry_s.and_then(|delay| Duration::try_from_secs_f64(delay).ok()).or_else(said);
    Failure {
        status,
        body: Some(kept(body)).filter(|body| !body.is_empty()),
        request_id: request_id(headers).or(words.request_id),
        retry_after: retry_after(headers, now).or(asked.map(|delay| delay.min(MAX_RETRY_AFTER))),
        ..Failure::new(class, message)
    }
}

/// Whether it is said that there is no such earlier answer, conversation, item or file to go on from, or that nobody here can
/// open what was sealed elsewhere; or that nothing is kept here at all.
fn lacks_state(status: u16, words: &Words) -> bool {
    let may_be = matches!(status, 0 | 400 | 404 | 410 | 422 | 501);
    let param = words.param.as_deref();
    let is_named = matches!(param, Some("previous_response_id" | "conversation"));
    // What is missing is something that the request names, and not the model.
    let is_in_request = matches!(status, 404 | 410) && param.is_some_and(|param| !param.is_empty() && param != "model");
    may_be && (is_named || is_in_request || words.has_code(STATE_CODES) || words.says(STATE_PHRASES))
}

/// The class, by the first rule that holds. A status of 0 is none.
///
/// Two laws, which `tests/failures` holds up against it, whatever the words:
/// - 400, 409, 413, 415 and 422 are the caller's. Only a provider's code makes one of them a rate limit, and only a page, which
///   no provider writes, makes one transient; so the same deployment is not asked again.
/// - 3xx, 401, 402, 404, 408, 429 and 5xx are the deployment's, and so is 403 unless a filter is named: never rejected, so that
///   others are asked.
fn class(status: u16, words: &Words) -> FailureClass {
    let is_callers = matches!(status, 0 | 400 | 409 | 413 | 415 | 422);
    // Such an answer may quote the request, and no caller's text may put a deployment to rest.
    let says = |phrases| if is_callers { words.says_itself(phrases) } else { words.says(phrases) };
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
    // OpenRouter's word under 402 for more at once than the account may spend at once.
    if words.has_code(&["openrouter_in_flight_budget"]) {
        return FailureClass::RateLimited;
    }
    if status == 402 || words.has_code(QUOTA_CODES) || says(QUOTA_PHRASES) {
        return FailureClass::Quota;
    }
    let may_be_filtered = is_callers || status == 403;
    if may_be_filtered && (words.has_code(FILTER_CODES) || words.says(FILTER_PHRASES)) {
        return FailureClass::Rejected;
    }
    let may_be_too_long = matches!(status, 0 | 400 | 413 | 422 | 500);
    if words.has_code(TOO_LONG_CODES) || (may_be_too_long && words.says(TOO_LONG_PHRASES)) {
        return FailureClass::TooLong;
    }
    // Before what stands for a missing model: a missing answer is not the deployment's fault.
    if lacks_state(status, words) {
        return FailureClass::Elsewhere;
    }
    // A tool server of the caller's, which says nothing of the deployment: others may reach it.
    if words.has_code(CONNECTOR_CODES) {
        return FailureClass::Unsupported;
    }
    if words.has_code(RATE_CODES) || ((!is_callers || status == 0) && words.says(RATE_PHRASES)) {
        return FailureClass::RateLimited;
    }
    if words.has_code(AUTH_CODES) || (matches!(status, 0 | 400) && says(AUTH_PHRASES)) {
        return FailureClass::Auth;
    }
    // OpenAI lets only organizations that it has verified stream some models.
    let may_be_unsupported = matches!(status, 0 | 400 | 403 | 404 | 405 | 409 | 413 | 422 | 500 | 501 | 503);
    if may_be_unsupported && (words.param.as_deref() == Some("stream") || says(UNSUPPORTED_PHRASES)) {
        return FailureClass::Unsupported;
    }
    match status {
        0 if words.has_code(TRANSIENT_CODES) => FailureClass::Transient,
        0 if words.has_code(REJECTED_CODES) => FailureClass::Rejected,
        // A page is the word of a proxy or a firewall before the provider, about an address, a protocol or a network.
        400 | 403 if words.is_page => FailureClass::Transient,
        // A proxy's or a server's own bound on bytes or inputs: another may take more.
        413 if words.is_page || words.says(TOO_LARGE_PHRASES) => FailureClass::TooLong,
        // 498 is Groq's word for no capacity, 529 Anthropic's.
        429 | 498 | 529 => FailureClass::RateLimited,
        // A redirect and a missing page are a wrong address; 407 is the proxy's 401, 426 and 431 are about how it was sent, 451 is
        // about where it was sent from, and 501 is a server that cannot do this at all.
        300..=399 | 401 | 403 | 404 | 405 | 407 | 410 | 426 | 431 | 451 | 501 => FailureClass::Auth,
        // 421 is a connection that led to the wrong server, 424 is TEI's and Bedrock's word for a failed backend, 499 Google's and
        // nginx's for an exchange that was dropped.
        408 | 421 | 424 | 425 | 499 => FailureClass::Transient,
        400..=499 => FailureClass::Rejected,
        _ => FailureClass::Transient,
    }
}
