//! Makes what is stored, and what this library brings with it, shorter. The only file that names `zstd`.
//!
//! An answer of 2 KiB is too short to learn from: what one has in common with the next (the provider's envelope, the
//! words of a language) stands in a dictionary that every file shares. Which one a record needs is its form, so that a
//! later dictionary can be added beside this one; a dictionary that was released never changes.
//! `cargo bench --bench records -- --train` makes one, `cargo bench --bench records` measures it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::CParameter;

/// Stored as it is.
const PLAIN: u8 = 0;

/// A Zstandard frame (RFC 8878) without its magic number, made with the first dictionary.
const DICTIONARY_1: u8 = 1;

/// What all such frames begin with, and what is therefore not stored.
const FRAME_MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// Below this the dictionary is hardly used, above it the time grows faster than what it saves.
const LEVEL: i32 = 6;

/// A quarter of its time, for an eighth more bytes.
const QUICK_LEVEL: i32 = 3;

/// Bytes that a thread keeps for the next frame, 16 KiB: as many as nearly all take.
const KEPT_FRAME: usize = 16 << 10;

/// A block of at least 4 bytes holds at most 128 KiB (RFC 8878, 3.1.1.2), so whoever claims more lies.
const MOST_EXPANSION: usize = (128 << 10) / 4;

static DICTIONARY: &[u8] = include_bytes!("compression/1.zdict");
static ENCODER: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static QUICK_ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, QUICK_LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

// Contexts are larger than most answers and made once per thread that needs one.
thread_local! {
    /// And how hard it works at the moment.
    static COMPRESSOR: RefCell<Option<(Compressor<'static>, Effort)>> = RefCell::new(new_compressor());
    /// And the frame that is being read, whole.
    static DECOMPRESSOR: RefCell<(Option<Decompressor<'static>>, Vec<u8>)> =
        RefCell::new((Decompressor::with_prepared_dictionary(&DECODER).ok(), Vec::new()));
}

/// How hard it is tried to make something shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Little, where there is much to do.
    Quick,
    Thorough,
}

impl Effort {
    fn encoder(self) -> &'static EncoderDictionary<'static> {
        match self {
            Self::Quick => &QUICK_ENCODER,
            Self::Thorough => &ENCODER,
        }
    }
}

fn new_compressor() -> Option<(Compressor<'static>, Effort)> {
    let mut compressor = Compressor::with_prepared_dictionary(&ENCODER).ok()?;
    // The record says all of this itself.
    for parameter in
        [CParameter::DictIdFlag(false), CParameter::ContentSizeFlag(false), CParameter::ChecksumFlag(false)]
    {
        compressor.set_parameter(parameter).ok()?;
    }
    Some((compressor, Effort::Thorough))
}

/// The form that was chosen, and the bytes in it; never longer than what came.
pub(crate) fn compress(body: &[u8], effort: Effort) -> (u8, Cow<'_, [u8]>) {
    let frame = COMPRESSOR.with_borrow_mut(|compressor| {
        let (compressor, current) = compressor.as_mut()?;
        if *current != effort {
            compressor.set_prepared_dictionary(effort.encoder()).ok()?;
            *current = effort;
        }
        compressor.compress(body).ok()
    });
    match frame.as_deref().and_then(|frame| frame.strip_prefix(&FRAME_MAGIC)) {
        Some(stored) if stored.len() < body.len() => (DICTIONARY_1, Cow::Owned(stored.to_vec())),
        _ => (PLAIN, Cow::Borrowed(body)),
    }
}

/// What [`compress`] was given, which is `length` bytes long. `None` for anything else; never allocates for more than
/// what these bytes can hold.
pub(crate) fn decompress(form: u8, stored: &[u8], length: usize) -> Option<Vec<u8>> {
    let body = match form {
        PLAIN => stored.to_vec(),
        DICTIONARY_1 if length <= stored.len().saturating_mul(MOST_EXPANSION) => {
            DECOMPRESSOR.with_borrow_mut(|(decompressor, frame)| {
                frame.clear();
                frame.extend_from_slice(&FRAME_MAGIC);
                frame.extend_from_slice(stored);
                let body = decompressor.as_mut()?.decompress(frame, length).ok();
                frame.shrink_to(KEPT_FRAME);
                body
            })?
        }
        _ => return None,
    };
    (body.len() == length).then_some(body)
}

/// What frames of this library's own hold together, which is `length` bytes long.
///
/// # Panics
/// If they do not: they are part of the program.
pub(crate) fn unpack(frames: &'static [u8], length: usize) -> Vec<u8> {
    let bytes = zstd::bulk::decompress(frames, length).expect("a frame that is part of this library can be read");
    assert_eq!(bytes.len(), length, "a frame that is part of this library holds what it is said to");
    bytes
}

/// A frame for [`unpack`], as short as it can be made.
#[cfg(test)]
pub(crate) fn pack(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, *zstd::compression_level_range().end()).expect("there is memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_the_bytes_cannot_hold_is_refused_before_anything_is_allocated() {
        let zeros = vec![0; 8 << 20];
        let (form, stored) = compress(&zeros, Effort::Thorough);
        assert_eq!(form, DICTIONARY_1);
        // The most that can be packed stays within what is believed.
        assert!(zeros.len() <= stored.len() * MOST_EXPANSION);
        assert_eq!(decompress(form, &stored, zeros.len()).as_ref(), Some(&zeros));
        assert_eq!(decompress(form, &stored, stored.len() * MOST_EXPANSION + 1), None);
        assert_eq!(decompress(form, &stored, usize::MAX), None);
    }

    #[test]
    fn with_more_effort_it_becomes_shorter_and_reads_the_same_whichever_came_before() {
        let body = include_bytes!("../docs/design.md");
        let with = |effort| compress(&body[..8192], effort).1.into_owned();
        let (quick, thorough) = (with(Effort::Quick), with(Effort::Thorough));
        assert!(thorough.len() < quick.len(), "{} and {} bytes", thorough.len(), quick.len());
        for (effort, stored) in [(Effort::Quick, &quick), (Effort::Thorough, &thorough), (Effort::Quick, &quick)] {
            assert_eq!(with(effort), *stored);
            assert_eq!(decompress(DICTIONARY_1, stored, 8192).as_deref(), Some(&body[..8192]));
        }
    }

    #[test]
    fn a_frame_that_holds_more_or_less_than_it_claims_is_refused() {
        let body = b"to be or not to be, that is the question; to be or not to be, that is the answer".repeat(3);
        let (form, stored) = compress(&body, Effort::Thorough);
        assert_eq!(form, DICTIONARY_1);
        for length in [0, 1, body.len() - 1, body.len() + 1] {
            assert_eq!(decompress(form, &stored, length), None, "{length}");
        }
        // Two frames, one after the other.
        let twice = [&stored[..], &FRAME_MAGIC, &stored].concat();
        assert_eq!(decompress(form, &twice, body.len()), None);
    }

    #[test]
    fn a_form_that_nobody_has_defined_is_refused() {
        for form in 2..=u8::MAX {
            assert_eq!(decompress(form, b"abc", 3), None);
        }
    }

    #[test]
    fn what_does_not_become_shorter_is_stored_as_it_is() {
        let mut rng = fastrand::Rng::with_seed(1);
        let noise: Vec<_> = (0..500).map(|_| rng.u8(..)).collect();
        assert_eq!(compress(&noise, Effort::Thorough), (PLAIN, Cow::Borrowed(&noise[..])));
        assert_eq!(compress(b"", Effort::Quick), (PLAIN, Cow::Borrowed(&b""[..])));
    }
}
