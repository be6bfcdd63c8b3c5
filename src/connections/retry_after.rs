//! When to come back, from `retry-after-ms` and `retry-after`. Pure: `now` is an argument.

use std::time::{Duration, SystemTime};

use ::http::HeaderMap;

/// Longest delay that is believed, one day: a longer one is a slip or an attack, and is cut to this.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The delay that the headers ask for, at most a day.
///
/// `retry-after-ms` (`OpenAI`, Azure) goes first because it is finer; then `retry-after` as seconds, which some
/// providers write with a fraction, or as an HTTP date (RFC 9110, 10.2.3), which in the past means now. What is not a
/// delay (words, negative numbers, infinities) counts as absent.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let delay = text(headers, "retry-after-ms").and_then(|text| delay(text, 1e-3)).or_else(|| {
        let text = text(headers, "retry-after")?;
        delay(text, 1.0).or_else(|| until(text, now))
    });
    delay.map(|delay| delay.min(MAX_RETRY_AFTER))
}

/// The header's text, without the space around it.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A number of `unit` seconds.
fn delay(text: &str, unit: f64) -> Option<Duration> {
    // Only what a header may hold: `f64` would also read "inf" and "nan".
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = text.parse().ok().filter(|_| is_number)?;
    Duration::try_from_secs_f64((number * unit).min(MAX_RETRY_AFTER.as_secs_f64())).ok()
}

/// The time from now to an HTTP date.
fn until(text: &str, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    type Headers<'a> = &'a [(&'static str, &'a str)];

    fn read(pairs: Headers<'_>) -> Option<Duration> {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        retry_after(&headers, now)
    }

    #[test]
    fn every_form_that_providers_use_is_read() {
        let table: &[(Headers<'_>, Option<u64>)] = &[
            (&[], None),
            (&[("retry-after", "2")], Some(2_000)),
            (&[("retry-after", " 2 ")], Some(2_000)),
            (&[("retry-after", "0")], Some(0)),
            (&[("retry-after", "0.25")], Some(250)),
            (&[("retry-after-ms", "1500")], Some(1_500)),
            (&[("retry-after-ms", "12.5"), ("retry-after", "9")], Some(12)),
            (&[("retry-after-ms", "soon"), ("retry-after", "9")], Some(9_000)),
            (&[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")], Some(60_000)),
            (&[("retry-after", "Sunday, 06-Nov-94 08:49:47 GMT")], Some(10_000)),
            (&[("retry-after", "Sun Nov  6 08:49:38 1994")], Some(1_000)),
            (&[("retry-after", "Sat, 05 Nov 1994 08:49:37 GMT")], Some(0)),
            (&[("retry-after", "Sat, 06 Nov 2094 08:49:37 GMT")], Some(86_400_000)),
            (&[("retry-after", "99999999999999999999")], Some(86_400_000)),
            (&[("retry-after-ms", "99999999999999999999")], Some(86_400_000)),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "inf")], None),
            (&[("retry-after", "nan")], None),
            (&[("retry-after", "1e9")], None),
            (&[("retry-after", ".")], None),
            (&[("retry-after", "")], None),
            (&[("retry-after", "a while")], None),
        ];
        for (headers, expected) in table {
            let got = read(headers).map(|delay| u64::try_from(delay.as_millis()).unwrap());
            assert_eq!(got, *expected, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_wait_longer_than_a_day(text in "[ -~]{0,40}") {
            prop_assert!(read(&[("retry-after", &text)]).unwrap_or_default() <= MAX_RETRY_AFTER);
            prop_assert!(read(&[("retry-after-ms", &text)]).unwrap_or_default() <= MAX_RETRY_AFTER);
        }
    }
}
