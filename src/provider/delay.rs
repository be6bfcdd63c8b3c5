//! When to come back, as some providers say in their message alone. Pure.

use std::time::Duration;

/// What goes before the delay.
const INTRODUCTIONS: [&str; 4] = ["try again in ", "retry after ", "retry in ", "try again after "];

/// Units as words, in milliseconds; each stands for whatever begins like it (`second`, `seconds`).
const WORDS: [(&str, f64); 4] = [("millisecond", 1.0), ("second", 1e3), ("minute", 60e3), ("hour", 3_600e3)];

/// Units as letters, the longer first.
const LETTERS: [(&str, f64); 5] = [("ms", 1.0), ("h", 3_600e3), ("m", 60e3), ("s", 1e3), ("", 1e3)];

/// The delay in a message, in lower case: `try again in 6m0s`, `retry after 6 seconds`. `None` if it names none.
pub(super) fn delay_in(text: &str) -> Option<Duration> {
    let rest = INTRODUCTIONS.iter().find_map(|introduction| text.split_once(introduction).map(|(_, rest)| rest))?;
    let (mut rest, mut total) = (rest.trim_start(), 0.0);
    let mut has_number = false;
    while let Some((number, after)) = number(rest) {
        let word = after.trim_start();
        let of_word = WORDS.iter().find(|(unit, _)| word.starts_with(unit)).map(|(_, unit)| (*unit, ""));
        let of_letters = || {
            LETTERS.iter().find_map(|(letters, unit)| {
                // A unit ends, or a further number follows it.
                let next = after.strip_prefix(letters)?;
                (!next.starts_with(|next: char| next.is_alphabetic())).then_some((*unit, next))
            })
        };
        let (unit, next) = of_word.or_else(of_letters)?;
        total += number * unit;
        (rest, has_number) = (next, true);
    }
    Duration::try_from_secs_f64(total / 1e3).ok().filter(|_| has_number)
}

/// The number that a text begins with, and what follows it.
fn number(text: &str) -> Option<(f64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let fraction = text.get(digits..)?.strip_prefix('.').map_or(0, |fraction| {
        let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
        // A full stop is none.
        if length == 0 { 0 } else { length + 1 }
    });
    let (number, rest) = text.split_at_checked(digits + fraction)?;
    Some((number.parse().ok().filter(|_| digits > 0)?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_delay_is_read_as_providers_write_it() {
        let table = [
            ("limit 30000, used 29000. please try again in 2s. visit", Some(2_000)),
            ("please try again in 59ms.", Some(59)),
            ("please try again in 7m12.5s.", Some(432_500)),
            ("please try again in 1h2m3s", Some(3_723_000)),
            ("please retry after 6 seconds.", Some(6_000)),
            ("please retry after 1 second.", Some(1_000)),
            ("please retry in 37.5s.", Some(37_500)),
            ("try again in 20.", Some(20_000)),
            ("try again in 2 minutes", Some(120_000)),
            ("try again in 250 milliseconds", Some(250)),
            ("try again in a moment", None),
            ("try again in 3 moons", Some(3_000)),
            ("try again in 3moons", None),
            ("try again later", None),
            ("retry after", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(delay_in(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(try again in )?[0-9a-z. ]{0,400}") {
            let _ = delay_in(&text);
        }
    }
}
