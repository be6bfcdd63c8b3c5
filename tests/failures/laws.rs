//! What holds for every answer, whatever a provider, a proxy or a caller's own text says in it.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use thryd::connections::Rejection;
use thryd::error::FailureClass::{Auth, Quota, RateLimited, Rejected, Silent, TooLong, Transient, Truncated};
use thryd::error::{Failure, FailureClass};
use thryd::provider::{classify, in_band, not_an_answer};

use super::json;

/// The statuses by which a provider blames the request.
const CALLERS: [u16; 5] = [400, 409, 413, 415, 422];

/// Statuses that blame the deployment, its key or its address, whatever else is said.
const DEPLOYMENTS: [u16; 19] =
    [301, 307, 401, 402, 404, 405, 407, 408, 410, 425, 429, 498, 500, 501, 502, 503, 504, 529, 599];

/// What means something from a provider, and nothing where a caller's text is quoted: words for rates and servers, for
/// accounts and keys, for filters.
const WORDS: [&str; 22] = [
    "rate limit",
    "too many requests",
    "server_error",
    "timed out",
    "overloaded, try again later",
    "retry after 3 seconds",
    "503",
    "internal",
    "unavailable",
    "insufficient balance",
    "your credit balance is too low",
    "you exceeded your current quota",
    "monthly spending limit",
    "incorrect api key",
    "invalid model",
    "model not found",
    "organization must be verified",
    "content_filter",
    "content policy",
    "violates usage guidelines",
    "prohibited_content",
    "input was flagged",
];
/// Where the words for filters begin.
const FILTERS: usize = 17;

/// An answer with this status, these headers and this body.
fn answer(status: u16, headers: &HeaderMap, body: &str) -> Failure {
    classify(&Rejection { status, headers, body })
}

/// Headers that a provider may send, with any text in them.
fn headers() -> impl Strategy<Value = HeaderMap> {
    let names = ["retry-after", "retry-after-ms", "x-should-retry", "x-ratelimit-remaining-requests", "content-type"];
    let text = prop_oneof!["[0-9]{1,4}", "[ -~]{0,12}", Just("true".to_owned())];
    let header = (prop::sample::select(names.to_vec()), text)
        .prop_map(|(name, text)| (HeaderName::from_static(name), HeaderValue::from_str(&text).expect("printable")));
    prop::collection::vec(header, 0..4).prop_map(|headers| headers.into_iter().collect())
}

/// Words, of these and of any.
fn prose(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let word = prop_oneof![3 => prop::sample::select(words).prop_map(str::to_owned), 1 => "[a-z'\"`{} ]{0,8}"];
    prop::collection::vec(word, 1..5).prop_map(|words| words.join(" "))
}

/// What JSON of any shape says, in any of its fields.
fn body(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let message = prose(words).prop_map(|text| serde_json::json!({ "error": { "message": text } }).to_string());
    prop_oneof![message, prose(words), json(words).prop_map(|json| json.to_string())]
}

fn is_asked_again(class: FailureClass) -> bool {
    matches!(class, Transient | RateLimited | Silent | Truncated)
}

proptest! {
    #[test]
    fn what_is_the_callers_fault_is_not_asked_of_the_same_deployment_again(
        status in prop::sample::select(&CALLERS),
        headers in headers(),
        body in body(&WORDS),
    ) {
        // A page is a proxy's, not a provider's.
        prop_assume!(!body.trim_start().starts_with('<'));
        let class = answer(status, &headers, &body).class;
        prop_assert!(!is_asked_again(class), "{} {}: {:?}", status, body, class);
    }

    #[test]
    fn what_a_caller_writes_never_puts_a_deployment_to_rest(
        status in prop::sample::select(&CALLERS),
        headers in headers(),
        text in prose(&WORDS),
        quote in prop::sample::select(vec!['\'', '"', '`']),
    ) {
        let message = format!("Invalid value: {quote}{text}{quote}. It's not one of the supported values.");
        let body = serde_json::json!({ "error": { "message": message, "type": "invalid_request_error" } }).to_string();
        let class = answer(status, &headers, &body).class;
        prop_assert!(matches!(class, Rejected | TooLong), "{} {}: {:?}", status, body, class);
    }

    #[test]
    fn what_is_a_deployments_fault_is_asked_of_others(
        status in prop::sample::select(&DEPLOYMENTS),
        headers in headers(),
        body in body(&WORDS),
    ) {
        prop_assert_ne!(answer(status, &headers, &body).class, Rejected, "{} {}", status, body);
    }

    #[test]
    fn a_refused_key_is_one_deployments_unless_a_filter_is_named(headers in headers(), body in body(&WORDS[..FILTERS])) {
        prop_assert_ne!(answer(403, &headers, &body).class, Rejected, "{}", body);
    }

    #[test]
    fn no_key_survives_wherever_it_is_echoed(
        status in 300_u16..600,
        key in "sk-[A-Za-z0-9]{24,40}",
        before in prose(&WORDS),
        after in prose(&WORDS),
        place in prop::sample::select(vec!["message", "detail", "code", "type", "param", "raw"]),
    ) {
        let text = format!("{before} {key} {after}");
        let nested = serde_json::json!({ "error": { "message": "m", "metadata": { "raw": text }, place: text } });
        let bodies = [text.clone(), nested.to_string(), nested["error"].to_string(), format!("<title>{text}</title>")];
        for body in bodies {
            let of_success = not_an_answer(&HeaderMap::new(), body.as_bytes(), Failure::new(Truncated, "reason"));
            let all = [answer(status, &HeaderMap::new(), &body), of_success].into_iter().chain(in_band(&body));
            for failure in all {
                prop_assert!(!format!("{failure:?}").contains(&key), "{:?}", failure);
            }
        }
    }
}

proptest! {
    // Long bodies take their time.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_answer_makes_it_panic_or_keep_more_than_it_may(
        status: u16,
        headers in headers(),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        text in body(&WORDS),
        times in 1_usize..3_000,
    ) {
        for body in [String::from_utf8_lossy(&bytes).into_owned(), text.clone(), text.repeat(times)] {
            let reason = Failure::new(Truncated, "reason");
            let of_success = not_an_answer(&headers, body.as_bytes(), reason);
            for failure in [answer(status, &headers, &body), of_success].into_iter().chain(in_band(&body)) {
                prop_assert!(!failure.message.is_empty() && failure.message.len() <= 500, "{}", failure.message);
                prop_assert!(failure.body.unwrap_or_default().len() <= 64 << 10);
                prop_assert!(failure.retry_after.unwrap_or_default().as_secs() <= 86_400);
            }
        }
    }
}

#[test]
fn json_of_a_hundred_thousand_levels_is_read_as_text() {
    let shapes = [("[", "]"), ("{\"error\":", "}"), ("{\"error\":{\"metadata\":{\"raw\":\"", "\"}}}")];
    for (open, close) in shapes {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        for status in [400, 500] {
            let class = answer(status, &HeaderMap::new(), &deep).class;
            assert_eq!(class, if status == 400 { Rejected } else { Transient });
        }
        let event = format!("{{\"error\":{deep}}}");
        assert!(in_band(&event).is_none_or(|failure| failure.message.len() <= 500));
        let reason = Failure::new(Truncated, "reason");
        assert!(not_an_answer(&HeaderMap::new(), deep.as_bytes(), reason).message.len() <= 500);
    }
}

#[test]
fn the_laws_can_tell() {
    let none = HeaderMap::new();
    let said =
        |status, message: &str| answer(status, &none, &format!("{{\"error\":{{\"message\":\"{message}\"}}}}")).class;
    assert_eq!(said(400, "Your credit balance is too low"), Quota, "unquoted it is the provider's word");
    assert_eq!(said(400, "Incorrect API key"), Auth);
    assert_eq!(said(403, "content policy"), Rejected);
    assert_eq!(said(500, "content policy"), Transient);
    assert_eq!(said(503, "rate limit"), RateLimited);
}
