//! The numbers in the headers, above all when a limit is full again: a duration, or a moment in one of three spellings.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::MAX_COUNT;
use crate::connections::MAX_RETRY_AFTER;

/// From here on a number of seconds is a moment and not a delay: it is more than thirty years.
const FIRST_EPOCH_SECOND: u64 = 1_000_000_000;
/// From here on a moment is in milliseconds: as seconds it would be three thousand years ahead.
const FIRST_EPOCH_MILLISECOND: u64 = 100_000_000_000;
const SECOND_NS: u128 = 1_000_000_000;
/// The units of a duration, largest first, in nanoseconds.
const UNITS: [(&str, u128); 4] =
    [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000)];
/// The days of the months of a common year.
const MONTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// 1970 in seconds since the year 1.
const EPOCH_S: u64 = 719_162 * 24 * 3600;

/// A whole number, 0 to 2^53 - 1.
pub(super) fn count(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&count| is_number && count <= MAX_COUNT)
}

/// The time from now until a limit is full again, at most a day, zero if it already is; `None` if it is further off, or
/// no time.
///
/// It may be a number of seconds, a duration (`6m0s`, `120ms`), or a moment: seconds or milliseconds since 1970, or as
/// in RFC 3339.
pub(super) fn reset(text: &str, now: SystemTime) -> Option<Duration> {
    let delay = seconds(text, now).or_else(|| duration(text)).or_else(|| until(moment(text)?, now));
    delay.filter(|&delay| delay <= MAX_RETRY_AFTER)
}

/// A bare number, which is a delay or a moment by its size.
fn seconds(text: &str, now: SystemTime) -> Option<Duration> {
    let (whole, nanos, "") = number(text)? else { return None };
    let seconds = Duration::from_secs(whole) + Duration::from_nanos(nanos);
    match whole {
        FIRST_EPOCH_MILLISECOND.. => until(seconds / 1000, now),
        FIRST_EPOCH_SECOND.. => until(seconds, now),
        _ => Some(seconds),
    }
}

/// The time from now until a moment after 1970.
fn until(since_epoch: Duration, now: SystemTime) -> Option<Duration> {
    Some(UNIX_EPOCH.checked_add(since_epoch)?.duration_since(now).unwrap_or_default())
}

/// A duration as Go writes it: numbers with units, the largest first, each at most once.
fn duration(mut text: &str) -> Option<Duration> {
    let mut total = 0;
    let mut smaller = UNITS.as_slice();
    loop {
        let (whole, nanos, rest) = number(text)?;
        let unit_length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = rest.split_at_checked(unit_length)?;
        let at = smaller.iter().position(|&(name, _)| name == unit)?;
        let &(_, unit_ns) = smaller.get(at)?;
        // The fraction is in billionths of the unit.
        total += (u128::from(whole) * SECOND_NS + u128::from(nanos)) * unit_ns / SECOND_NS;
        smaller = smaller.get(at + 1..)?;
        text = after;
        if text.is_empty() {
            return u64::try_from(total).ok().map(Duration::from_nanos);
        }
    }
}

/// A moment as in RFC 3339 (`2025-08-21T12:40:59Z`), as the time since 1970; before that, zero.
fn moment(text: &str) -> Option<Duration> {
    let field = |at: usize, length: usize| text.get(at..at + length).and_then(count);
    let is = |at: usize, bytes: &[u8]| text.as_bytes().get(at).is_some_and(|byte| bytes.contains(byte));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let days = days(field(0, 4)?, field(5, 2)?, field(8, 2)?)?;
    let hour = field(11, 2).filter(|&hour| hour < 24)?;
    let minute = field(14, 2).filter(|&minute| minute < 60)?;
    // Sixty in a minute with a leap second.
    field(17, 2).filter(|&second| second <= 60)?;
    let (second, nanos, zone) = number(text.get(17..)?)?;
    let local = (days * 24 + hour) * 3600 + minute * 60 + second;
    let utc = match zone {
        "Z" | "z" => local.checked_sub(EPOCH_S),
        _ => {
            let zone_field = |at: usize| zone.get(at..at + 2).and_then(count);
            let hours = zone_field(1).filter(|&hours| hours < 24)?;
            let minutes = zone_field(4).filter(|&minutes| minutes < 60)?;
            let offset = hours * 3600 + minutes * 60;
            match (zone.as_bytes(), zone.len()) {
                ([b'+', _, _, b':', ..], 6) => local.checked_sub(EPOCH_S + offset),
                ([b'-', _, _, b':', ..], 6) => (local + offset).checked_sub(EPOCH_S),
                _ => return None,
            }
        }
    };
    Some(utc.map_or(Duration::ZERO, |utc| Duration::from_secs(utc) + Duration::from_nanos(nanos)))
}

/// The days from the first of the year 1 to a date, if there is such a date.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let past_years = year.checked_sub(1)?;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut days = past_years * 365 + past_years / 4 - past_years / 100 + past_years / 400;
    for (number, length) in (1..).zip(MONTHS) {
        let length = length + u64::from(number == 2 && is_leap);
        if number == month {
            return (1..=length).contains(&day).then(|| days + day - 1);
        }
        days += length;
    }
    None
}

/// The number that a text begins with, in whole ones and billionths, and what follows it.
fn number(text: &str) -> Option<(u64, u64, &str)> {
    let (whole, rest) = digits(text);
    let whole = count(whole)?;
    let Some(rest) = rest.strip_prefix('.') else { return Some((whole, 0, rest)) };
    let (fraction, rest) = digits(rest);
    let billionths = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = billionths.fold(0, |nanos, digit| nanos * 10 + u64::from(digit - b'0'));
    (!fraction.is_empty()).then_some((whole, nanos, rest))
}

/// The digits that a text begins with, and what follows them.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}
