//! What holds whatever a header holds.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::connections::MAX_RETRY_AFTER;

/// Names that are known, and some that nearly are.
fn name() -> impl Strategy<Value = String> {
    let field = || select(vec!["limit", "remaining", "reset", "renewalperiod", "used"]);
    let subject = || select(vec!["requests", "req", "tokens", "input-tokens", "output-tokens", "cost"]);
    let window = select(vec!["", "-5-minute", "-minute", "-hour", "-day", "-month", "-prompt", "-generated", "-x"]);
    prop_oneof![
        (field(), subject(), window)
            .prop_map(|(field, subject, window)| format!("x-ratelimit-{field}-{subject}{window}")),
        (field(), subject()).prop_map(|(field, subject)| format!("x-ratelimit-{field}-project-{subject}")),
        (subject(), field()).prop_map(|(subject, field)| format!("anthropic-ratelimit-{subject}-{field}")),
        (select(vec!["x-ratelimit", "x-tokenlimit", "x-trial-endpoint-call"]), field())
            .prop_map(|(family, field)| format!("{family}-{field}")),
        "x-ratelimit-[a-z0-9-]{0,20}",
    ]
}

/// Anything that a header may hold, much of it near to what it should.
fn value() -> impl Strategy<Value = HeaderValue> {
    let text = prop_oneof![
        any::<u64>().prop_map(|number| number.to_string()),
        (0_u64..200).prop_map(|number| number.to_string()),
        "[0-9]{1,4}(\\.[0-9]{0,12})?(h|m|s|ms|us|)([0-9]{1,3}(m|s|ms))?",
        concat!(
            "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{1,12})?",
            "(Z|z|[+-][0-9]{2}:[0-9]{2})"
        ),
        "[ -~]{0,24}",
    ];
    let byte = prop_oneof![Just(b'\t'), b' '..=b'~', 0x80..=0xff_u8];
    let bytes = prop_oneof![text.prop_map(String::into_bytes), vec(byte, 0..24)];
    bytes.prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap())
}

fn pairs() -> impl Strategy<Value = Vec<(HeaderName, HeaderValue)>> {
    vec((name().prop_map(|name| name.parse().unwrap()), value()), 0..24)
}

fn map(pairs: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_say_what_cannot_be(pairs in pairs(), now_s in 0..u64::MAX / 4) {
        let count = u32::try_from(pairs.len()).unwrap();
        let now = UNIX_EPOCH.checked_add(Duration::from_secs(now_s)).unwrap_or(UNIX_EPOCH);
        let read = rate_limits(&map(pairs), now);
        for quota in [read.requests, read.tokens] {
            prop_assert!(quota.limit.is_none_or(|limit| (1..=MAX_COUNT).contains(&limit)));
            prop_assert!(quota.remaining.is_none_or(|remaining| remaining <= MAX_COUNT));
            prop_assert!(quota.reset.is_none_or(|reset| reset <= MAX_RETRY_AFTER));
        }
        prop_assert!(read.ignored <= count);
        prop_assert_eq!(read.is_empty(), read == RateLimits::default());
    }

    #[test]
    fn the_order_of_the_headers_means_nothing(pairs in pairs()) {
        let backwards: Vec<_> = pairs.iter().rev().cloned().collect();
        prop_assert_eq!(rate_limits(&map(pairs), now()), rate_limits(&map(backwards), now()));
    }

    #[test]
    fn a_value_without_sense_costs_only_itself(pairs in pairs(), name in select(vec![
        "x-ratelimit-limit-requests", "anthropic-ratelimit-tokens-remaining", "x-ratelimit-reset-tokens-day",
    ])) {
        let mut headers = map(pairs);
        let before = rate_limits(&headers, now());
        headers.append(name, HeaderValue::from_static("never"));
        prop_assert_eq!(rate_limits(&headers, now()), RateLimits { ignored: before.ignored + 1, ..before });
    }

    #[test]
    fn a_duration_is_read_to_the_nanosecond(hours in 0_u64..24, minutes in 0_u64..60, nanos in 0..60_000_000_000_u64) {
        let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        let text = format!("{hours}h{minutes}m{seconds}.{fraction:09}s");
        let expected = Duration::from_secs((hours * 60 + minutes) * 60) + Duration::from_nanos(nanos);
        prop_assert_eq!(reset(&text, now()), Some(expected));
    }

    #[test]
    fn a_moment_means_the_same_in_every_spelling(
        now_s in 1_000_000_000..253_402_214_400_u64, ahead_s in 0..=86_400_u64, offset_min in -1439..=1439_i64
    ) {
        let now = UNIX_EPOCH + Duration::from_secs(now_s);
        let expected = Some(Duration::from_secs(ahead_s));
        // The clock of that place, from a date that somebody else wrote.
        let local_s = (now_s + ahead_s).checked_add_signed(offset_min * 60).unwrap();
        prop_assume!(local_s < 253_402_300_800);
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(local_s));
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let month = 1 + months.iter().position(|&month| month == &date[8..11]).unwrap();
        let sign = if offset_min < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset_min.abs() / 60, offset_min.abs() % 60);
        let day = format!("{}-{month:02}-{}", &date[12..16], &date[5..7]);
        let text = format!("{day}T{}{sign}{hours:02}:{minutes:02}", &date[17..25]);
        prop_assert_eq!(reset(&text, now), expected, "{}", text);
        prop_assert_eq!(reset(&ahead_s.to_string(), now), expected);
        if now_s < 99_999_000_000 {
            prop_assert_eq!(reset(&(now_s + ahead_s).to_string(), now), expected);
        }
        if now_s >= 100_000_000 {
            prop_assert_eq!(reset(&((now_s + ahead_s) * 1000).to_string(), now), expected);
        }
    }

    #[test]
    fn a_bucket_is_known_by_how_fast_it_refills(limit in 1..1_000_000_u64, share in 0.0..1.0_f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let used = 1 + ((limit - 1) as f64 * share) as u64;
        let of_period = |period_ms: u64| {
            let reset = format!("{}ms", used * period_ms / limit);
            let (limit, remaining) = (limit.to_string(), (limit - used).to_string());
            read(&[
                ("x-ratelimit-limit-requests", &limit),
                ("x-ratelimit-remaining-requests", &remaining),
                ("x-ratelimit-reset-requests", &reset),
            ])
            .requests
        };
        prop_assert_eq!(of_period(60_000).limit, Some(limit));
        let day = of_period(86_400_000);
        prop_assert_eq!((day.limit, day.remaining), (None, Some(limit - used)));
    }
}
