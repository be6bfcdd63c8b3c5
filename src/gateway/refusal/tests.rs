//! What clients are told of failures.

use std::time::Duration;

use super::*;

fn response(kind: ErrorKind) -> (u16, Vec<(&'static str, String)>, Value) {
    let Response { head, body } = Refusal::of(&Error::from(kind), &Hosts::default()).into();
    let body: Value = serde_json::from_str(&body).unwrap();
    (head.status, head.headers, body["error"].clone())
}

fn failed(class: FailureClass, status: Option<u16>, body: &str) -> ErrorKind {
    let failure = Failure { status, body: Some(body.to_owned()), ..Failure::new(class, "it said sk-123") };
    ErrorKind::Provider { deployment: "p::m".to_owned(), failure }
}

#[test]
fn a_refused_key_of_the_host_is_not_shown_to_the_client() {
    for class in [FailureClass::Auth, FailureClass::Quota] {
        let alone = || failed(class, Some(401), r#"{"error":{"message":"key sk-123"}}"#);
        let among = ErrorKind::Exhausted { message: "last: sk-123".to_owned(), errors: vec![alone().into()] };
        let ErrorKind::Provider { deployment, failure } = alone() else { unreachable!("it is a provider's") };
        let failure = Failure { message: "key sk-123".to_owned(), ..failure };
        let midway = ErrorKind::Interrupted { deployment, delivered: "a".to_owned(), failure };
        for kind in [alone(), among, midway] {
            let (status, _, error) = response(kind);
            assert_eq!(status, 502);
            assert!(!error.to_string().contains("sk-123"), "{error}");
        }
    }
}

#[test]
fn where_a_provider_is_is_not_shown_to_the_client_whoever_says_it_and_where() {
    let hosts = Hosts::default();
    hosts.add("vllm.internal");
    let words = r#"{"error":{"message":"vllm.internal:8000 says no","type":"vllm.internal","param":"vllm.internal","code":"vllm.internal"}}"#;
    for (class, status) in [
        (FailureClass::Rejected, Some(400)),
        (FailureClass::TooLong, Some(400)),
        (FailureClass::Transient, Some(500)),
        (FailureClass::RateLimited, Some(429)),
        (FailureClass::Truncated, None),
    ] {
        let failure = || Failure { status, body: Some(words.to_owned()), ..Failure::new(class, "no VLLM.internal") };
        let deployment = || "p::m".to_owned();
        let alone = || ErrorKind::Provider { deployment: deployment(), failure: failure() };
        let midway = ErrorKind::Interrupted { deployment: deployment(), delivered: "a".to_owned(), failure: failure() };
        let among = ErrorKind::Exhausted { message: "vllm.internal".to_owned(), errors: vec![alone().into()] };
        let none = ErrorKind::Exhausted { message: "vllm.internal".to_owned(), errors: Vec::new() };
        for kind in [alone(), midway, among, none] {
            let error = Refusal::of(&Error::from(kind), &hosts).error().to_string().to_ascii_lowercase();
            assert!(!error.contains("vllm.internal"), "{error}");
        }
    }
}

#[test]
fn what_others_asked_is_not_shown_to_the_client() {
    let hint = Some("; the nearest has messages[0].content: \"secret\"".to_owned());
    let (status, _, error) = response(ErrorKind::NotCached { group: "g".to_owned(), hint });
    assert_eq!((status, error["message"].as_str()), (504, Some(NOT_CACHED)));
    let why = "redis://inner did not answer within 1000 ms".to_owned();
    let (status, _, error) = response(ErrorKind::CacheUnread { group: "g".to_owned(), why });
    assert_eq!((status, error["message"].as_str()), (504, Some(NOT_READ)), "nor where the cache is");
}

#[test]
fn a_model_that_is_not_there_is_not_told_to_be_a_key() {
    let said = |status| response(failed(FailureClass::Auth, Some(status), "")).2["message"].to_string();
    assert!(said(404).contains("its model or its address") && said(307).contains("its model or its address"));
    assert!(said(401).contains("its key is refused") && said(403).contains("its key is refused"));
}

#[test]
fn words_that_are_not_in_the_shape_are_not_taken_for_it() {
    for body in ["", "<html>", "[]", r#"{"error":"no"}"#, r#"{"error":{"message":7}}"#] {
        let (status, _, error) = response(failed(FailureClass::Rejected, Some(422), body));
        assert_eq!((status, error["message"].as_str()), (422, Some("p::m: 422 it said sk-123")));
    }
    let odd = r#"{"error":{"message":"no","type":null,"param":[1],"code":7}}"#;
    let (_, _, error) = response(failed(FailureClass::Rejected, None, odd));
    assert_eq!(error, json!({ "message": "no", "type": REQUEST, "param": null, "code": null }));
}

#[test]
fn what_is_too_long_has_one_code_whatever_the_provider_calls_it() {
    // LiteLLM's proxy before llama.cpp, and llama.cpp.
    for body in [
        r#"{"error":{"message":"litellm.ContextWindowExceededError: it","type":"invalid_request_error","param":null,"code":"400"}}"#,
        r#"{"error":{"code":400,"message":"it exceeds the available context size","type":"exceed_context_size_error"}}"#,
    ] {
        let (status, _, error) = response(failed(FailureClass::TooLong, Some(400), body));
        assert_eq!((status, error["code"].as_str()), (400, Some("context_length_exceeded")), "{body}");
        assert!(error["message"].as_str().unwrap().contains("it"));
    }
}

#[test]
fn who_may_come_back_is_told_when_and_rounded_up() {
    let retry_after = Duration::from_micros(1_000_001);
    let group = "g".to_owned();
    let (status, headers, _) = response(ErrorKind::RateLimited { group, retry_after, reason: None });
    let header = |name| headers.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str());
    assert_eq!(status, 429);
    assert_eq!((header("retry-after"), header("retry-after-ms")), (Some("2"), Some("1001")));
    assert_eq!(header("x-should-retry"), None);
}

#[test]
fn only_silence_all_over_is_a_gateway_that_timed_out() {
    let silent = || Failure::timeout(Phase::FirstToken, Duration::from_secs(1));
    let silent = || ErrorKind::Provider { deployment: "p::m".to_owned(), failure: silent() }.into();
    let broken = || failed(FailureClass::Transient, Some(500), "").into();
    let status = |errors| response(ErrorKind::Exhausted { message: String::new(), errors }).0;
    assert_eq!(status(vec![silent(), silent()]), 504);
    assert_eq!(status(vec![silent(), broken()]), 502);
    assert_eq!(status(Vec::new()), 502);
}

#[test]
fn what_a_provider_said_of_others_is_not_told_to_whoever_comes_after_them() {
    let reason = Some("p::m: Item with id 'msg_1' not found".to_owned());
    let (status, _, error) =
        response(ErrorKind::RateLimited { group: "g".to_owned(), retry_after: Duration::from_secs(9), reason });
    assert_eq!(status, 429);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("\"g\"") && !message.contains("msg_1"), "{message}");
}
