//! Texts from JavaScript, as it has them.
//!
//! Read as UTF-8, a text with one character beyond Latin-1 costs Node two looks at every unit, and as much time as
//! counting its tokens. Units are copied at once, and nearly all of them are ASCII, sixteen at a time.

/// Units that are looked at together.
const TOGETHER: usize = 16;

/// The text of these units; half a surrogate pair is U+FFFD.
pub fn to_utf8(units: &[u16]) -> String {
    let mut bytes = Vec::with_capacity(units.len() + TOGETHER);
    let mut rest = units;
    while let Some(first) = rest.first() {
        if *first < 0x80 {
            rest = ascii(rest, &mut bytes);
            continue;
        }
        // At least to the end of a pair.
        let is_wide = |unit: &u16| *unit >= 0x80;
        let (wide, after) = rest.split_at(rest.iter().take_while(|unit| is_wide(unit)).count());
        for character in char::decode_utf16(wide.iter().copied()) {
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        rest = after;
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// Writes the ASCII at the beginning; what follows it.
#[expect(clippy::cast_possible_truncation, reason = "ASCII")]
fn ascii<'a>(units: &'a [u16], bytes: &mut Vec<u8>) -> &'a [u16] {
    let mut rest = units;
    while let Some((chunk, after)) = rest.split_first_chunk::<TOGETHER>() {
        if chunk.iter().fold(0, |all, unit| all | unit) >= 0x80 {
            break;
        }
        bytes.extend(chunk.map(|unit| unit as u8));
        rest = after;
    }
    let (few, after) = rest.split_at(rest.iter().take_while(|unit| **unit < 0x80).count());
    bytes.extend(few.iter().map(|unit| *unit as u8));
    after
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_is_read_otherwise_than_unicode_says(
            runs in prop::collection::vec(
                prop_oneof!["[ -~]{0,40}".prop_map(|text| text.encode_utf16().collect()), prop::collection::vec(any::<u16>(), 0..20)],
                0..6,
            ),
        ) {
            let units: Vec<u16> = runs.concat();
            prop_assert_eq!(to_utf8(&units), String::from_utf16_lossy(&units));
        }
    }
}
