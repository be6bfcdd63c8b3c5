//! What providers' refusals mean, over bodies as they are seen in the wild.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use thryd::connections::Rejection;
use thryd::error::Failure;
use thryd::error::FailureClass::{self, Auth, Quota, RateLimited, Rejected, TooLong, Transient, Truncated};
use thryd::provider::{classify_at, in_band, not_an_answer};

fn refuse(status: u16, headers: &[(&'static str, &str)], body: &str) -> Failure {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("plain text"))
    };
    let headers: HeaderMap = headers.iter().map(pair).collect();
    classify_at(&Rejection { status, headers: &headers, body }, SystemTime::UNIX_EPOCH)
}

/// Who said it, under which status, what, what it means, and a part of the message that must be kept.
type Row = (&'static str, u16, &'static str, FailureClass, &'static str);

#[rustfmt::skip] // A row is a line.
const TABLE: &[Row] = &[
    ("openai", 429, r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#, Quota, "exceeded your current quota"),
    ("openai", 429, r#"{"error":{"message":"Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#, RateLimited, "Rate limit reached"),
    ("openai", 429, r#"{"error":{"message":"Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 40000. The input or output tokens must be reduced in order to run successfully.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#, TooLong, "Request too large"),
    ("openai", 400, r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 8545 tokens. Please reduce the length of the messages.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#, TooLong, "8545 tokens"),
    ("openai", 400, r#"{"error":{"message":"Unrecognized request argument supplied: temprature","type":"invalid_request_error","param":null,"code":null}}"#, Rejected, "temprature"),
    ("openai", 400, r#"{"error":{"message":"max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you provided 100000.","type":"invalid_request_error","param":"max_tokens","code":"invalid_value"}}"#, Rejected, "max_tokens"),
    ("openai", 400, r#"{"error":{"message":"Your request was rejected as a result of our safety system.","type":"invalid_request_error","code":"content_policy_violation"}}"#, Rejected, "safety system"),
    ("openai", 401, r#"{"error":{"message":"Incorrect API key provided: sk-abcde***wxyz.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#, Auth, "Incorrect API key provided: sk-***."),
    ("openai", 404, r#"{"error":{"message":"The model `gpt-9` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#, Auth, "`gpt-9`"),
    ("openai", 403, r#"{"error":{"code":"unsupported_country_region_territory","message":"Country, region, or territory not supported","param":null,"type":"request_forbidden"}}"#, Auth, "Country"),
    ("openai", 500, r#"{"error":{"message":"The server had an error while processing your request.","type":"server_error","param":null,"code":null}}"#, Transient, "server had an error"),
    ("openai", 503, r#"{"error":{"message":"The engine is currently overloaded, please try again later","type":"server_error","param":null,"code":null}}"#, Transient, "overloaded"),
    ("azure", 429, r#"{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 6 seconds."}}"#, RateLimited, "retry after 6 seconds"),
    ("azure", 400, r#"{"error":{"inner_error":{"code":"ResponsibleAIPolicyViolation"},"code":"content_filter","message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","param":"prompt","type":null,"status":400}}"#, Rejected, "filtered"),
    ("azure", 404, r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#, Auth, "does not exist"),
    ("azure", 400, r#"{"error":{"code":"OperationNotSupported","message":"The chatCompletion operation does not work with the specified model, text-embedding-3-small."}}"#, Auth, "does not work"),
    ("azure", 401, r#"{ "statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, audience is incorrect, or have expired." }"#, Auth, "Access token"),
    ("anthropic", 529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_011CSHoEeqs5C35K2UUqR7Fy"}"#, RateLimited, "Overloaded"),
    ("anthropic", 429, r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit of 50,000 input tokens per minute."}}"#, RateLimited, "50,000"),
    ("anthropic", 400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 205371 tokens > 200000 maximum"}}"#, TooLong, "205371"),
    ("anthropic", 400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 174167 + 64000 > 200000, decrease input length or `max_tokens` and try again"}}"#, TooLong, "174167"),
    ("anthropic", 400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#, Quota, "credit balance"),
    ("anthropic", 400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages: roles must alternate between \"user\" and \"assistant\""}}"#, Rejected, "alternate"),
    ("anthropic", 404, r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-9"}}"#, Auth, "claude-9"),
    ("anthropic", 413, r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#, Rejected, "maximum size"),
    ("gemini", 429, r#"[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"37s"}]}}]"#, RateLimited, "current quota"),
    ("gemini", 429, r#"[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}]"#, Quota, "current quota"),
    ("gemini", 400, r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}]"#, Auth, "API key not valid"),
    ("gemini", 400, r#"{"error":{"code":400,"message":"The input token count (1300000) exceeds the maximum number of tokens allowed (1048575).","status":"INVALID_ARGUMENT"}}"#, TooLong, "1300000"),
    ("gemini", 400, r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#, Auth, "location"),
    ("gemini", 503, r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#, Transient, "overloaded"),
    ("mistral", 429, r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","param":null,"code":"3505"}"#, RateLimited, "capacity"),
    ("mistral", 400, r#"{"object":"error","message":"Prompt contains 40045 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_error","param":null,"code":"3051"}"#, TooLong, "40045"),
    ("mistral", 400, r#"{"object":"error","message":"Invalid model: mistral-huge","type":"invalid_model","param":null,"code":"1500"}"#, Auth, "mistral-huge"),
    ("mistral", 422, r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error"}"#, Rejected, "body.stream_options: Extra inputs"),
    ("groq", 413, r#"{"error":{"message":"Request too large for model `llama-3.1-8b-instant` in organization `org_x` on tokens per minute (TPM): Limit 6000, Requested 7200, please reduce your message size and try again.","type":"tokens","code":"rate_limit_exceeded"}}"#, TooLong, "7200"),
    ("groq", 400, r#"{"error":{"message":"Please reduce the length of the messages or completion.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#, TooLong, "reduce"),
    ("groq", 400, r#"{"error":{"message":"The model `mixtral-8x7b-32768` has been decommissioned and is no longer supported.","type":"invalid_request_error","code":"model_decommissioned"}}"#, Auth, "decommissioned"),
    ("groq", 498, r#"{"error":{"message":"Flex tier capacity exceeded","type":"capacity_exceeded"}}"#, RateLimited, "capacity"),
    ("cohere", 400, r#"{"message":"too many tokens: total number of tokens in the prompt cannot exceed 128000 - received 130011."}"#, TooLong, "130011"),
    ("cohere", 429, r#"{"message":"You are using a Trial key, which is limited to 10 API calls / minute."}"#, RateLimited, "Trial key"),
    ("cohere", 401, r#"{"message":"invalid api token"}"#, Auth, "invalid api token"),
    ("openrouter", 402, r#"{"error":{"message":"This request requires more credits, or fewer max_tokens.","code":402}}"#, Quota, "credits"),
    ("openrouter", 403, r#"{"error":{"code":403,"message":"Your chosen model requires moderation and your input was flagged","metadata":{"reasons":["violence"],"flagged_input":"...","provider_name":"x"}}}"#, Rejected, "flagged"),
    ("openrouter", 400, r#"{"error":{"message":"gpt-9 is not a valid model ID","code":400},"user_id":"u"}"#, Auth, "gpt-9"),
    ("openrouter", 400, r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"maximum context length is 4096 tokens\",\"code\":\"context_length_exceeded\"}}","provider_name":"x"}}}"#, TooLong, "Provider returned error: maximum context length"),
    ("openrouter", 502, r#"{"error":{"message":"Provider returned error","code":502,"metadata":{"provider_name":"x"}}}"#, Transient, "Provider returned error"),
    ("bedrock", 400, r#"{"message":"The model returned the following errors: Input is too long for requested model."}"#, TooLong, "Input is too long"),
    ("bedrock", 429, r#"{"message":"Too many tokens, please wait before trying again."}"#, RateLimited, "Too many tokens"),
    ("deepseek", 402, r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#, Quota, "Balance"),
    ("xai", 400, r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***op. You can obtain an API key from https://console.x.ai."}"#, Auth, "Incorrect API key"),
    ("xai", 400, r#"{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 537812 tokens."}"#, TooLong, "537812"),
    ("vllm", 400, r#"{"object":"error","message":"The decoder prompt (length 163840) is longer than the maximum model length of 131072.","type":"BadRequestError","param":null,"code":400}"#, TooLong, "163840"),
    ("vllm", 400, r#"{"error":{"message":"You passed 1015 input tokens and requested 10 output tokens. However, the model's context length is only 1024 tokens.","type":"BadRequestError","param":"input_tokens","code":400}}"#, TooLong, "1015"),
    ("vllm", 404, r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}"#, Auth, "`x`"),
    ("ollama", 404, r#"{"error":{"message":"model \"x\" not found, try pulling it first","type":"api_error","param":null,"code":null}}"#, Auth, "try pulling"),
    ("ollama", 404, "404 page not found", Auth, "404 page not found"),
    ("ollama", 500, r#"{"error":"llama runner process has terminated: signal: killed"}"#, Transient, "killed"),
    ("tei", 413, r#"{"error":"Input validation error: `inputs` must have less than 512 tokens. Given: 1024","error_type":"Validation"}"#, TooLong, "1024"),
    ("tei", 413, r#"{"error":"batch size 64 > maximum allowed batch size 32","error_type":"Validation"}"#, Rejected, "batch size"),
    ("tei", 429, r#"{"error":"Model is overloaded","error_type":"Overloaded"}"#, RateLimited, "overloaded"),
    ("tei", 424, r#"{"error":"Inference failed","error_type":"Backend"}"#, Transient, "Inference"),
    ("llama.cpp", 400, r#"{"error":{"code":400,"message":"request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9412,"n_ctx":8192}}"#, TooLong, "9412"),
    ("llama.cpp", 503, r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#, Transient, "Loading model"),
    ("llama.cpp", 500, r#"{"error":{"code":500,"message":"input is too large to process. increase the physical batch size","type":"server_error"}}"#, TooLong, "batch size"),
    ("fastapi", 422, r#"{"detail":[{"loc":["body","messages"],"msg":"field required","type":"value_error.missing"}]}"#, Rejected, "body.messages: field required"),
    ("cloudflare", 403, r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}"#, Auth, "Authentication error"),
    ("nginx", 502, "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n", Transient, "502 Bad Gateway"),
    ("nginx", 413, "<html><head><title>413 Request Entity Too Large</title></head></html>", Rejected, "413 Request Entity"),
    ("cloudflare", 524, "<!DOCTYPE html><html><head>\n<title>api.example.com | 524: A timeout occurred</title></head>", Transient, "524: A timeout"),
    ("cloudflare", 429, "error code: 1015", RateLimited, "1015"),
    ("proxy", 407, "", Auth, "Proxy Authentication Required"),
    ("anyone", 503, "", Transient, "Service Unavailable"),
    ("anyone", 408, "{}", Transient, "{}"),
    ("anyone", 409, r#"{"error":{"message":"Conflict"}}"#, Rejected, "Conflict"),
    ("anyone", 415, "", Rejected, "Unsupported Media Type"),
    ("anyone", 504, "stream timeout", Transient, "stream timeout"),
    ("anyone", 301, "", Auth, "Moved Permanently"),
    ("anyone", 999, "", Transient, "unknown status"),
];

#[test]
fn every_dialect_is_understood() {
    for (provider, status, body, class, message) in TABLE {
        let failure = refuse(*status, &[], body);
        assert_eq!(failure.class, *class, "{provider} {status} {body}");
        assert!(failure.message.contains(message), "{provider} {status}: {}", failure.message);
        assert_eq!(failure.status, Some(*status));
        assert!(failure.is_sent);
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

    let gemini = TABLE.iter().find(|row| row.2.contains("37s")).unwrap();
    assert_eq!(refuse(429, &[], gemini.2).retry_after, Some(Duration::from_secs(37)));
    let anthropic = TABLE.iter().find(|row| row.1 == 529).unwrap();
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
        (
            r#"{"id":"1","choices":[{"delta":{"content":""},"finish_reason":"error"}],"error":{"code":"server_error","message":"x"}}"#,
            Transient,
            None,
        ),
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
fn json() -> impl Strategy<Value = serde_json::Value> {
    let names =
        ["error", "errors", "message", "detail", "details", "msg", "loc", "code", "status", "metadata", "raw", "type"];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i64>().prop_map(serde_json::Value::from),
        ".{0,12}".prop_map(serde_json::Value::from),
        "(rate limit|token|sk-[a-z]{8}|\u{e9}|<title>){0,3}".prop_map(serde_json::Value::from),
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
    fn no_body_and_no_status_makes_it_panic(status: u16, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let body = String::from_utf8_lossy(&bytes);
        let failure = refuse(status, &[], &body);
        prop_assert!(!failure.message.is_empty() && failure.message.len() <= 500);
        let _ = in_band(&body);
        let failure = not_an_answer(&HeaderMap::new(), &bytes, Failure::new(Truncated, "reason"));
        prop_assert!(!failure.message.is_empty() && failure.message.len() <= 500);
    }

    #[test]
    fn no_json_makes_it_panic(status in 300_u16..600, value in json()) {
        let failure = refuse(status, &[], &value.to_string());
        prop_assert!(!failure.message.is_empty() && failure.message.len() <= 500);
        if let Some(failure) = in_band(&value.to_string()) {
            prop_assert!(!failure.message.is_empty());
        }
    }

    #[test]
    fn a_success_without_an_error_field_is_never_a_failure(text in ".{0,60}") {
        let answer = serde_json::json!({ "choices": [{ "message": { "content": text, "error": text } }] });
        prop_assert!(in_band(&answer.to_string()).is_none());
    }
}
