//! What providers' refusals mean, over bodies as they are seen in the wild.

mod answers;
mod laws;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use thryd::connections::Rejection;
use thryd::error::Failure;
use thryd::error::FailureClass::{self, Auth, Quota, RateLimited, Rejected, TooLong, Transient, Truncated};
use thryd::provider::{classify_at, in_band, not_an_answer};

use answers::ANSWERS;

fn refuse(status: u16, headers: &[(&'static str, &str)], body: &str) -> Failure {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("plain text"))
    };
    let headers: HeaderMap = headers.iter().map(pair).collect();
    classify_at(&Rejection { status, headers: &headers, body }, SystemTime::UNIX_EPOCH)
}

#[test]
fn every_answer_of_every_provider_is_understood() {
    for (provider, answers) in ANSWERS {
        for (status, headers, body, class, after, message) in *answers {
            let failure = refuse(*status, headers, body);
            assert_eq!(failure.class, *class, "{provider} {status} {body}");
            assert!(failure.message.contains(message), "{provider} {status}: {}", failure.message);
            assert_eq!(failure.retry_after, after.map(Duration::from_millis), "{provider} {status} {body}");
            assert_eq!(failure.status, Some(*status));
            assert!(failure.is_sent);
        }
    }
}

#[test]
fn what_the_callers_text_says_does_not_change_whose_fault_it_is() {
    // Providers quote the request: words that mean something elsewhere mean nothing here.
    for quoted in ["rate limit", "too many requests", "server error", "timeout", "429", "not found"] {
        let body = format!(r#"{{"error":{{"message":"Invalid value: '{quoted}'","type":"invalid_request_error"}}}}"#);
        assert_eq!(refuse(400, &[], &body).class, Rejected, "{quoted}");
        assert_eq!(refuse(422, &[], &body).class, Rejected, "{quoted}");
    }
}

#[test]
fn a_code_in_a_header_alone_counts() {
    let headers = [("x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/coral/")];
    assert_eq!(refuse(400, &headers, r#"{"message":"Slow down"}"#).class, RateLimited);
}

#[test]
fn what_support_and_the_router_need_is_kept() {
    let headers = [("x-request-id", "req_1"), ("retry-after", "2"), ("retry-after-ms", "1500")];
    let failure = refuse(429, &headers, r#"{"error":{"message":"slow"}}"#);
    assert_eq!(failure.request_id.as_deref(), Some("req_1"));
    assert_eq!(failure.retry_after, Some(Duration::from_millis(1500)));
    assert_eq!(failure.body.as_deref(), Some(r#"{"error":{"message":"slow"}}"#));

    let date = [("retry-after", "Thu, 01 Jan 1970 00:00:30 GMT")];
    assert_eq!(refuse(503, &date, "").retry_after, Some(Duration::from_secs(30)), "counted from the time given");

    let mut answers = ANSWERS.iter().flat_map(|(_, answers)| *answers);
    let anthropic = answers.find(|answer| answer.0 == 529).unwrap();
    assert_eq!(refuse(529, &[], anthropic.2).request_id.as_deref(), Some("req_011CSHoEeqs5C35K2UUqR7Fy"));
    assert_eq!(refuse(503, &[], "").body, None);
}

#[test]
fn a_delay_that_no_clock_holds_is_no_delay() {
    for delay in ["-1s", "1e400s", "nans", "s", "12"] {
        let body = format!(r#"{{"error":{{"status":"RESOURCE_EXHAUSTED","details":[{{"retryDelay":"{delay}"}}]}}}}"#);
        assert_eq!(refuse(429, &[], &body).retry_after, None, "{delay}");
    }
    let body = r#"{"error":{"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"1e15s"}]}}"#;
    assert_eq!(refuse(429, &[], body).retry_after, Some(Duration::from_secs(86_400)));
}

#[test]
fn a_key_that_the_provider_echoes_is_kept_nowhere() {
    let body = r#"{"error":{"message":"Incorrect API key provided: sk-live-1234567890abcdef.","got":"Bearer 1234567890abcdef"}}"#;
    let failure = refuse(401, &[], body);
    assert!(!format!("{failure:?}").contains("1234567890abcdef"), "{failure:?}");
    let stream = in_band(body).unwrap();
    assert!(!format!("{stream:?}").contains("1234567890abcdef"), "{stream:?}");
}

#[test]
fn a_long_answer_is_cut_to_64_kib_between_characters() {
    let body = "\u{20ac}".repeat(100_000);
    let kept = refuse(500, &[], &body).body.unwrap();
    assert!(kept.len() <= 64 << 10 && kept.len() > (64 << 10) - 3);
}

#[test]
fn a_failure_in_an_answers_clothes_is_found() {
    let table = [
        (r#"{"error":{"message":"Provider disconnected","code":502}}"#, Transient, Some(502)),
        (r#"{"error":{"message":"The server had an error","type":"server_error","code":null}}"#, Transient, None),
        (r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, RateLimited, None),
        (r#"{"error":{"message":"slow","code":"rate_limit_exceeded"}}"#, RateLimited, None),
        (r#"{"error":{"message":"quota","code":429,"type":"insufficient_quota"}}"#, Quota, Some(429)),
        (r#"{"error":{"message":"bad","type":"invalid_request_error","code":null}}"#, Rejected, None),
        (r#"{"error":{"message":"bad","code":"400"}}"#, Rejected, Some(400)),
        (r#"{"error":{"message":"key","code":401}}"#, Auth, Some(401)),
        (r#"[{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]"#, Transient, Some(503)),
        (r#"{"object":"error","message":"This model's maximum context length is 10","code":400}"#, TooLong, Some(400)),
        (r#"{"error":"something broke"}"#, Transient, None),
        // OpenRouter, in the middle of a stream.
        (
            r#"{"id":"1","choices":[{"delta":{"content":""},"finish_reason":"error"}],"error":{"code":"server_error","message":"x"}}"#,
            Transient,
            None,
        ),
        (r#"{"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#, Transient, None),
        // OpenRouter, whole: the failure is one choice's.
        (
            r#"{"choices":[{"message":{"content":""},"finish_reason":"error","error":{"code":429,"message":"slow"}}]}"#,
            RateLimited,
            Some(429),
        ),
        // SGLang, under 200 before its first token.
        (
            r#"{"error": {"object": "error", "message": "Requested token count exceeds the model's maximum context length of 196608 tokens.", "type": "BadRequestError", "param": null, "code": 400}}"#,
            TooLong,
            Some(400),
        ),
        // vLLM and TGI.
        (r#"{"error":{"message":"EngineCore","type":"InternalServerError","code":500}}"#, Transient, Some(500)),
        (r#"{"error":"Input validation error","error_type":"validation"}"#, Rejected, None),
        (r#"{"error":"Model is overloaded","error_type":"overloaded"}"#, RateLimited, None),
        // LiteLLM's proxy, when the server behind it died in the middle of a stream.
        (
            r#"{"error": {"message": "litellm.APIConnectionError: APIConnectionError: OpenAIException - Connection error.", "type": null, "param": null, "code": "500"}}"#,
            Transient,
            Some(500),
        ),
        // Gemini, in the middle of a stream.
        (r#"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#, RateLimited, Some(429)),
    ];
    for (data, class, status) in table {
        let failure = in_band(data).unwrap_or_else(|| panic!("{data}"));
        assert_eq!((failure.class, failure.status), (class, status), "{data}");
        assert_eq!(failure.body.as_deref(), Some(data));
    }
}

#[test]
fn an_answer_that_speaks_of_errors_is_no_failure() {
    let answers = [
        "",
        "[DONE]",
        "\"error\"",
        r#"{"error":null,"choices":[]}"#,
        r#"{"choices":[],"error":""}"#,
        r#"{"choices":[],"error":{}}"#,
        r#"{"choices":[{"delta":{"content":"{\"error\": \"no\"}"}}]}"#,
        r#"{"choices":[{"delta":{"content":"x"},"error":{"message":"inner"}}]}"#,
        r#"{"object":"chat.completion.chunk","error":null}"#,
        r#"{"error":{"message":"cut"#,
        r#"["error"]"#,
    ];
    for answer in answers {
        assert!(in_band(answer).is_none(), "{answer}");
    }
}

#[test]
fn a_success_that_is_no_answer_says_what_came() {
    let page = "<!DOCTYPE html>\n<html><head><title>Sign in to\nHotel Wi-Fi</title></head><body>...";
    let table: &[(Option<&str>, &str, FailureClass, &str)] = &[
        (
            Some("text/html; charset=utf-8"),
            page,
            Truncated,
            "a page, of type text/html; charset=utf-8: Sign in to Hotel Wi-Fi",
        ),
        (Some("application/json"), page, Truncated, "a page, of type application/json: Sign in to Hotel Wi-Fi"),
        (Some("text/event-stream"), "", Truncated, "it is empty, of type text/event-stream"),
        (None, "", Truncated, "it is empty, without a content-type"),
        (None, " \n ", Truncated, "white space"),
        (
            Some("text/plain"),
            "upstream  is\nasleep",
            Truncated,
            "it is not JSON but of type text/plain: upstream is asleep",
        ),
        (Some("application/json"), "{\"choices\":[", Truncated, "what the reader says"),
        (Some("application/json"), "[1]", Truncated, "what the reader says"),
        (Some("application/json"), r#"{"error":{"message":"m","code":401}}"#, Auth, "m"),
    ];
    for (content_type, body, class, message) in table {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("r1"));
        if let Some(content_type) = content_type {
            headers.insert("content-type", HeaderValue::from_str(content_type).unwrap());
        }
        let reason = Failure { request_id: Some("r1".to_owned()), ..Failure::new(Truncated, "what the reader says") };
        let failure = not_an_answer(&headers, body.as_bytes(), reason);
        assert_eq!(failure.class, *class, "{body}");
        assert!(failure.message.contains(message), "{body}: {}", failure.message);
        assert_eq!(failure.request_id.as_deref(), Some("r1"), "{body}");
    }
}

/// JSON of any shape, over the names that matter.
fn json(words: &'static [&'static str]) -> impl Strategy<Value = serde_json::Value> {
    let names = [
        "error",
        "errors",
        "message",
        "detail",
        "details",
        "msg",
        "loc",
        "code",
        "status",
        "metadata",
        "raw",
        "type",
        "choices",
        "finish_reason",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i64>().prop_map(serde_json::Value::from),
        (400_u16..600).prop_map(serde_json::Value::from),
        ".{0,12}".prop_map(serde_json::Value::from),
        prop::sample::select(words).prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(5, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((prop::sample::select(names.to_vec()), inner), 0..4)
                .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn a_success_without_an_error_field_is_never_a_failure(text in ".{0,60}") {
        let answer = serde_json::json!({ "choices": [{ "message": { "content": text, "error": text } }] });
        prop_assert!(in_band(&answer.to_string()).is_none());
    }
}
