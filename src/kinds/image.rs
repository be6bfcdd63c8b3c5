//! A picture in a message, as far as its tokens depend on it; the only file that names `imagesize`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use imagesize::ImageError;
use serde::Deserialize;
use serde_json::value::RawValue;

/// How closely a model is asked to look: OpenAI's `detail`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// `auto`, absent, or a word that is not known: as the model likes.
    #[default]
    Auto,
    /// `low`.
    Low,
    /// `high`.
    High,
    /// `original`: not scaled down, where a model offers that.
    Original,
}

/// A picture. The default is one that nothing is known of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// How closely to look at it.
    pub detail: Detail,
    /// Width and height in pixels, neither of them 0. `None` if the request does not say: the picture is behind a URL,
    /// or is not a PNG, a JPEG, a GIF or a WebP in base64.
    pub size: Option<(u32, u32)>,
}

/// How much of a picture is looked at for its size: most say it in the first bytes, a JPEG after its thumbnail and its
/// colour profile. A size that comes later than the second is not known.
const HEAD_BYTES: [usize; 2] = [1 << 10, 1 << 20];

/// What is cut off has no padding.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Image {
    /// Reads a part's `image_url`: an object with `url` and `detail`, or the URL itself.
    pub(super) fn read(raw: &str) -> Self {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(raw).unwrap_or_default();
        let url = fields.get("url").map_or(raw, |url| url.get());
        Self::of(url, fields.get("detail").map(|detail| detail.get()))
    }

    /// A picture in base64.
    pub(super) fn of_base64(data: &str) -> Self {
        Self { detail: Detail::Auto, size: size_in(data.as_bytes()) }
    }

    /// A picture behind this URL, to be looked at so closely; both as JSON.
    pub(super) fn of(url: &str, detail: Option<&str>) -> Self {
        let detail = match detail {
            Some("\"low\"") => Detail::Low,
            Some("\"high\"") => Detail::High,
            Some("\"original\"") => Detail::Original,
            _ => Detail::Auto,
        };
        Self { detail, size: serde_json::from_str::<Text<'_>>(url).ok().and_then(|url| size(&url.0)) }
    }
}

/// Width and height of the picture in a `data:` URL.
fn size(url: &str) -> Option<(u32, u32)> {
    let (kind, data) = url.split_once(',')?;
    if !kind.starts_with("data:") || !kind.ends_with(";base64") {
        return None;
    }
    size_in(data.as_bytes())
}

/// Width and height of a picture in base64.
fn size_in(data: &[u8]) -> Option<(u32, u32)> {
    for bytes in HEAD_BYTES {
        // Four characters are three bytes.
        let length = data.len().min(bytes / 3 * 4);
        let head = ENGINE.decode(&data[..length]).ok()?;
        match imagesize::blob_size(&head) {
            Ok(size) => {
                let (width, height) = (u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?);
                return (width > 0 && height > 0).then_some((width, height));
            }
            // It ends before it says so.
            Err(ImageError::IoError(_)) if length < data.len() => {}
            Err(_) => return None,
        }
    }
    None
}
