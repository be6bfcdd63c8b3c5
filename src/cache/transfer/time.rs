//! Times as people read them: ISO 8601 in UTC, to the millisecond.

/// The last millisecond of the year 9999.
pub(super) const LAST_MS: u64 = 253_402_300_799_999;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Days of 400 years.
const ERA: u64 = 146_097;

/// Days from March 1 of the year 0 to 1970.
const TO_1970: u64 = 719_468;

/// Milliseconds since 1970 as e.g. `2026-01-31T09:30:00.250Z`; `None` after the year 9999.
pub(super) fn format(ms: u64) -> Option<String> {
    if ms > LAST_MS {
        return None;
    }
    let (days, rest) = (ms / DAY_MS + TO_1970, ms % DAY_MS);
    // The year begins in March here, so that the leap day is its last.
    let (era, day_of_era) = (days / ERA, days % ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year_of_era + month / 10, if month < 10 { month + 3 } else { month - 9 });
    let (seconds, ms) = (rest / 1000, rest % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"))
}

/// Reads what [`format`] wrote, to the letter.
pub(super) fn parse(text: &str) -> Option<u64> {
    const FORM: &[u8] = b"0000-00-00T00:00:00.000Z";
    let bytes = text.as_bytes();
    let is_form = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    if bytes.len() != FORM.len() || !bytes.iter().zip(FORM).all(is_form) {
        return None;
    }
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (year, month) = if month < 3 { (year.checked_sub(1)?, month + 9) } else { (year, month - 3) };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
    let days = era * ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let seconds = part(11, 13)? * 3600 + part(14, 16)? * 60 + part(17, 19)?;
    let ms = days.checked_sub(TO_1970)? * DAY_MS + seconds * 1000 + part(20, 23)?;
    // A day that is not in its month, or an hour that is not in its day, is written in another way.
    Some(ms).filter(|ms| format(*ms).as_deref() == Some(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments_are_written_as_everybody_writes_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_769_851_800_250, "2026-01-31T09:30:00.250Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!((format(ms).as_deref(), parse(text)), (Some(text), Some(ms)));
        }
        assert_eq!(format(LAST_MS + 1), None);
    }

    #[test]
    fn what_is_no_moment_is_not_taken_for_one() {
        for text in [
            "",
            "2026-01-31",
            "2026-02-29T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-00-01T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
            "2026-01-31T24:00:00.000Z",
            "2026-01-31T09:60:00.000Z",
            "2026-01-31T09:30:00.25Z",
            "2026-01-31T09:30:00.250+00:00",
            "1969-12-31T23:59:59.999Z",
            "0000-01-01T00:00:00.000Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_comes_back(ms in 0..=LAST_MS, text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-9:.Z]{13}") {
            prop_assert_eq!(parse(&format(ms).unwrap()), Some(ms));
            prop_assert!(parse(&text).is_none_or(|ms| format(ms) == Some(text.clone())));
        }
    }
}
