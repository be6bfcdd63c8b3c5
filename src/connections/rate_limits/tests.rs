//! The rules, each by its example; the providers and the laws have files of their own.

mod properties;
mod providers;

use std::time::UNIX_EPOCH;

use ::http::{HeaderName, HeaderValue};

use super::*;

type Headers<'a> = &'a [(&'static str, &'a str)];

/// 2025-08-21T12:40:30Z.
const NOW_S: u64 = 1_755_780_030;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW_S)
}

fn read(headers: Headers<'_>) -> RateLimits {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    rate_limits(&headers, now())
}

fn quota(limit: impl Into<Option<u64>>, remaining: impl Into<Option<u64>>, reset_ms: impl Into<Option<u64>>) -> Quota {
    let reset = reset_ms.into().map(Duration::from_millis);
    Quota { limit: limit.into(), remaining: remaining.into(), reset }
}

fn limits(requests: Quota, tokens: Quota) -> RateLimits {
    RateLimits { requests, tokens, ignored: 0 }
}

const NOTHING: Quota = Quota { limit: None, remaining: None, reset: None };

#[test]
fn the_tightest_window_wins_with_its_own_reset() {
    let minute_and_day = |minute: Headers<'_>, day: Headers<'_>| read(&[minute, day].concat());
    let minute: Headers<'_> = &[
        ("x-ratelimit-limit-requests-minute", "30"),
        ("x-ratelimit-remaining-requests-minute", "20"),
        ("x-ratelimit-reset-requests-minute", "20"),
    ];
    let day: Headers<'_> = &[
        ("x-ratelimit-limit-requests-day", "900"),
        ("x-ratelimit-remaining-requests-day", "3"),
        ("x-ratelimit-reset-requests-day", "7200"),
    ];
    assert_eq!(minute_and_day(minute, day), limits(quota(30, 3, 7_200_000), NOTHING));
    let (minute, day): (Headers<'_>, Headers<'_>) = (
        &[("x-ratelimit-remaining-req-minute", "0"), ("x-ratelimit-reset-req-minute", "5")],
        &[("x-ratelimit-remaining-req-day", "0"), ("x-ratelimit-reset-req-day", "500")],
    );
    assert_eq!(minute_and_day(minute, day), limits(quota(None, 0, 500_000), NOTHING), "both used up: the longer wait");
    let full: Headers<'_> = &[("x-ratelimit-remaining-req-month", "0"), ("x-ratelimit-reset-req-month", "0")];
    assert_eq!(minute_and_day(minute, full), limits(quota(None, 0, 5_000), NOTHING), "what is over gives way");
    let over: Headers<'_> = &[("x-ratelimit-remaining-req-minute", "1"), ("x-ratelimit-reset-req-minute", "0")];
    assert_eq!(read(over), limits(quota(None, 1, 0), NOTHING), "but it is said");
}

#[test]
fn a_half_of_the_tokens_that_is_used_up_is_not_hidden_by_the_other() {
    let spent: Headers<'_> = &[
        ("anthropic-ratelimit-input-tokens-limit", "80000"),
        ("anthropic-ratelimit-input-tokens-remaining", "70000"),
        ("anthropic-ratelimit-input-tokens-reset", "2025-08-21T12:40:40Z"),
        ("anthropic-ratelimit-output-tokens-limit", "16000"),
        ("anthropic-ratelimit-output-tokens-remaining", "0"),
        ("anthropic-ratelimit-output-tokens-reset", "2025-08-21T12:41:30Z"),
    ];
    assert_eq!(read(spent).tokens, quota(96_000, 0, 60_000));
    let total: Headers<'_> = &[
        ("anthropic-ratelimit-tokens-limit", "50000"),
        ("anthropic-ratelimit-tokens-remaining", "41000"),
        ("anthropic-ratelimit-tokens-reset", "2025-08-21T12:40:45Z"),
    ];
    assert_eq!(read(&[spent, total].concat()).tokens, quota(50_000, 0, 60_000));
    assert_eq!(read(&[&spent[..5], total].concat()).tokens, quota(50_000, 0, None), "nobody knows until when");
    let over = [("anthropic-ratelimit-output-tokens-reset", "2025-08-21T12:40:29Z")];
    assert_eq!(read(&[&spent[..5], &over, total].concat()).tokens, quota(50_000, 41_000, 15_000), "it is full again");
    assert_eq!(read(&spent[..3]).tokens, NOTHING, "one half is not the whole");
    let both: Headers<'_> = &[
        ("anthropic-ratelimit-output-tokens-limit", "16000"),
        ("anthropic-ratelimit-output-tokens-remaining", "1000"),
        ("anthropic-ratelimit-output-tokens-reset", "2025-08-21T12:40:55Z"),
    ];
    assert_eq!(read(&[&spent[..3], both].concat()).tokens, quota(96_000, 71_000, 25_000));
}

#[test]
fn a_limit_of_an_unknown_window_is_not_taken_for_one_per_minute() {
    let requests = |period: &str, reset: &str| {
        read(&[
            ("x-ratelimit-limit-requests", "50"),
            ("x-ratelimit-remaining-requests", "45"),
            ("x-ratelimit-renewalperiod-requests", period),
            ("x-ratelimit-reset-requests", reset),
        ])
        .requests
        .limit
    };
    assert_eq!(requests("60", "10"), Some(50));
    assert_eq!(requests("10", "6"), None, "the period goes before what the numbers say");
    let limit_of = |limit, remaining, reset| {
        read(&[
            ("x-ratelimit-limit-requests", limit),
            ("x-ratelimit-remaining-requests", remaining),
            ("x-ratelimit-reset-requests", reset),
        ])
        .requests
        .limit
    };
    assert_eq!(limit_of("10000", "9999", "8.64s"), None, "what was used is back after its share of a day");
    assert_eq!(limit_of("14400", "14370", "2m59.56s"), None, "longer than a minute");
    assert_eq!(limit_of("50", "49", "1.2s"), Some(50));
    assert_eq!(limit_of("50", "50", "0s"), Some(50));
    assert_eq!(read(&[("x-ratelimit-limit-requests", "50")]).requests.limit, Some(50));
}

#[test]
fn what_makes_no_sense_is_left_out_and_counted() {
    let huge = "9007199254740992";
    let counts =
        ["", " ", "-1", "+1", "1.5", "1,000", "1e3", "0x10", "ten", "NaN", huge, "99999999999999999999", "1 2"];
    for text in counts {
        for name in ["x-ratelimit-limit-requests", "x-ratelimit-remaining-tokens-day", "x-tokenlimit-remaining"] {
            assert_eq!(read(&[(name, text)]), RateLimits { ignored: 1, ..RateLimits::default() }, "{name}: {text:?}");
        }
    }
    let resets = [
        "",
        "-1",
        "soon",
        "1.",
        ".5",
        ".",
        "1.5.2s",
        "6m0",
        "0s6m",
        "1s1s",
        "5x",
        "1 s",
        "s",
        "1M",
        "1d",
        "inf",
        "86400.000000001",
        "24h0m1s",
        "1e3",
        "9007199254740991",
        "99999999999999999999h",
        "2025-08-21",
        "2025-08-22T12:40:31Z",
        "2025-08-21T12:40:59",
        "2025-08-21 12:40:59Z",
        "2025-02-29T00:00:00Z",
        "2025-13-01T00:00:00Z",
        "2025-00-10T00:00:00Z",
        "2025-08-00T00:00:00Z",
        "2025-08-21T24:00:00Z",
        "2025-08-21T12:60:00Z",
        "2025-08-21T12:40:61Z",
        "2025-08-21T12:40:5Z",
        "2025-08-21T12:40:59.Z",
        "2025-08-21T12:40:59+02",
        "2025-08-21T12:40:59+24:00",
        "2025-08-21T12:40:59+0200",
        "2025-08-21T12:40:59+02:60",
        "2025-08-21T12:40:59Z!",
        "0000-01-01T00:00:00Z",
        "Thu, 21 Aug 2025 12:40:59 GMT",
    ];
    for text in resets {
        let read = read(&[("x-ratelimit-reset-requests", text)]);
        assert_eq!(read, RateLimits { ignored: 1, ..RateLimits::default() }, "{text:?}");
    }
    assert_eq!(read(&[("x-ratelimit-limit-tokens-minute", "0")]).ignored, 1, "a limit of nothing is no limit");
    let contradiction: Headers<'_> = &[
        ("x-ratelimit-limit-tokens-minute", "10"),
        ("x-ratelimit-remaining-tokens-minute", "11"),
        ("x-ratelimit-reset-tokens-minute", "2"),
    ];
    assert_eq!(read(contradiction), RateLimits { ignored: 1, ..limits(NOTHING, quota(10, None, 2_000)) });
    assert!(!read(&contradiction[1..]).is_empty() && read(&[("x-ratelimit-used", "3")]).is_empty());
}

#[test]
fn every_spelling_of_a_reset_is_read() {
    let table = [
        ("0", 0),
        ("59", 59_000),
        (" 59 ", 59_000),
        ("86400", 86_400_000),
        ("6m0s", 360_000),
        ("1s", 1_000),
        ("120ms", 120),
        ("7.66s", 7_660),
        ("1h2m3.5s", 3_723_500),
        ("24h0m0s", 86_400_000),
        ("1m30s500ms", 90_500),
        ("1755780090", 60_000),
        ("1755780090.5", 60_500),
        ("1755780090500", 60_500),
        ("1755780029", 0),
        ("1000000000", 0),
        ("2025-08-21T12:40:59Z", 29_000),
        ("2025-08-21t12:40:59.25z", 29_250),
        ("2025-08-21T14:40:59+02:00", 29_000),
        ("2025-08-21T05:10:59-07:30", 29_000),
        ("2025-08-21T12:40:60Z", 30_000),
        ("2025-08-21T12:40:29Z", 0),
        ("1969-12-31T23:59:59Z", 0),
        ("0001-01-01T00:00:00+23:59", 0),
    ];
    for (text, expected_ms) in table {
        assert_eq!(
            read(&[("x-ratelimit-reset-requests", text)]),
            limits(quota(None, None, expected_ms), NOTHING),
            "{text}"
        );
    }
}
