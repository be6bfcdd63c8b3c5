//! What a picture costs, by the rule that the maker of the model publishes.
//!
//! A picture of unknown size (behind a URL, or in a form that is not read) counts as the largest that the rule allows:
//! what is reserved for it is never less than what it takes.
//!
//! Sources, as of 2026: OpenAI's guide "Images and vision"; Anthropic's "Vision" (28 px patches, which replaced
//! width x height / 750); Google's "Understand and count tokens" and "Media resolution".

use crate::kinds::{Detail, Image};

/// A rule. Sides are pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// OpenAI's older models: fitted into 2048 x 2048, then to a shorter side of 768; so much, and so much for each
    /// tile of 512 x 512. In low detail, the first alone.
    Tiles { base: u64, tile: u64 },
    /// OpenAI's newer models: patches of 32 x 32, so many thousandths of a token each.
    Patches { per_mille: u64, high: Limit, auto: Limit, original: Limit },
    /// Anthropic: patches of 28 x 28, a token each, after the picture was scaled down to the limit.
    Claude(Limit),
    /// Gemini before 3: tiles of up to 768 x 768, 258 tokens each.
    Gemini,
    /// Gemini since 3: the same for every picture, unless asked otherwise in a way that chat completions have not.
    Flat(u64),
}

/// What a picture is scaled down to: its longer side, and its patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    side: u64,
    patches: u64,
}

const SMALL: Limit = Limit { side: 2048, patches: 1536 };
/// The guide adds a longer side of 2048, which counts less and which users' measurements do not show.
const MEDIUM: Limit = Limit { side: u64::MAX, patches: 2500 };
const LARGE: Limit = Limit { side: 6000, patches: 10_000 };
/// `original` of the newest models, which is never scaled down.
const NONE: Limit = Limit { side: u64::MAX, patches: u64::MAX };

/// Patches of the square of 512 px that low detail is.
const LOW_DETAIL_PATCHES: u64 = 16 * 16;

/// Tokens of a tile of Gemini's.
const GEMINI_TILE: u64 = 258;
/// Tiles of 3072 x 3072, the largest that Google's guide speaks of.
const GEMINI_MOST_TILES: u64 = 16;

const fn tiles(base: u64, tile: u64) -> Rule {
    Rule::Tiles { base, tile }
}

const fn patches(per_mille: u64) -> Rule {
    Rule::Patches { per_mille, high: SMALL, auto: SMALL, original: SMALL }
}

/// For what is not known to be otherwise.
const DEFAULT: Rule = tiles(85, 170);
/// For GPT models that are not known to be otherwise: every one since 5.6.
const NEWEST: Rule = Rule::Patches { per_mille: 1200, high: MEDIUM, auto: NONE, original: NONE };

const CLAUDE: Rule = Rule::Claude(Limit { side: 1568, patches: 1568 });
/// For Claude models that are not known to be otherwise: every one since Opus 4.7.
const SHARP_CLAUDE: Rule = Rule::Claude(Limit { side: 2576, patches: 4784 });
const CLAUDES: &[&str] = &[
    "claude-3",
    "claude-haiku-4",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2",
    "claude-sonnet-4-5",
    "claude-sonnet-4-6",
    "claude-sonnet-4.5",
    "claude-sonnet-4.6",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-2",
    "claude-opus-4-5",
    "claude-opus-4-6",
    "claude-opus-4.1",
    "claude-opus-4.5",
    "claude-opus-4.6",
];

/// By how the model's name begins; the first that fits counts. OpenAI publishes multipliers of its small patch models
/// alone; 1.2 is what users measured for the others, and the Codex minis are taken for GPT-5 mini.
const RULES: &[(&[&str], Rule)] = &[
    (&["gpt-4o-mini"], tiles(2833, 5667)),
    (&["gpt-4.1-nano", "gpt-5-nano", "gpt-5.4-nano"], patches(2460)),
    (&["o4-mini", "codex-mini"], patches(1720)),
    (&["gpt-4.1-mini", "gpt-5-mini", "gpt-5.4-mini", "gpt-5-codex-mini", "gpt-5.1-codex-mini"], patches(1620)),
    (&["gpt-5-codex", "gpt-5.1-codex", "gpt-5.2", "gpt-5.3"], patches(1200)),
    (&["gpt-5.4"], Rule::Patches { per_mille: 1200, high: MEDIUM, auto: MEDIUM, original: LARGE }),
    (&["gpt-5.5"], Rule::Patches { per_mille: 1200, high: MEDIUM, auto: LARGE, original: LARGE }),
    (&["gpt-5.1"], tiles(70, 140)),
    (&["gpt-5."], NEWEST),
    (&["gpt-5"], tiles(70, 140)),
    (&["gpt-4", "gpt-3", "gpt-oss"], DEFAULT),
    (&["gpt-"], NEWEST),
    (&["o1", "o3"], tiles(75, 150)),
    (&["computer-use"], tiles(65, 129)),
    (CLAUDES, CLAUDE),
    (&["claude"], SHARP_CLAUDE),
    (&["gemini-1", "gemini-2"], Rule::Gemini),
    (&["gemini"], Rule::Flat(1120)),
];

/// Tokens of pictures.
pub(super) fn count(images: &[Image], model: &str) -> u64 {
    if images.is_empty() {
        return 0;
    }
    let rule = Rule::of(model);
    images.iter().map(|image| rule.tokens(*image)).fold(0, u64::saturating_add)
}

impl Rule {
    /// The rule of a model, with or without a provider or a vendor in front.
    fn of(model: &str) -> Self {
        // A fine-tuned model has colons of its own, behind: `ft:gpt-4o:org::id`.
        let provider = model.split_once("::").filter(|_| !model.starts_with("ft:"));
        let name = provider.map_or(model, |(_, name)| name);
        let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
        let name = name.strip_prefix("ft:").unwrap_or(name);
        let is_named = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        RULES.iter().find(|(prefixes, _)| is_named(prefixes)).map_or(DEFAULT, |(_, rule)| *rule)
    }

    fn tokens(self, image: Image) -> u64 {
        let size = image.size.map(|(width, height)| (u64::from(width), u64::from(height)));
        match self {
            Self::Tiles { base, .. } if image.detail == Detail::Low => base,
            // The most that fits into 2048 x 768.
            Self::Tiles { base, tile } => base + tile * size.map_or(8, openai_tiles),
            Self::Patches { per_mille, high, auto, original } => {
                let patches = match image.detail {
                    Detail::Low => LOW_DETAIL_PATCHES,
                    Detail::High => openai_patches(size, high),
                    Detail::Auto => openai_patches(size, auto),
                    Detail::Original => openai_patches(size, original),
                };
                patches.saturating_mul(per_mille).div_ceil(1000)
            }
            Self::Claude(limit) => size.map_or(limit.patches, |size| claude_patches(size, limit)),
            Self::Gemini => GEMINI_TILE.saturating_mul(size.map_or(GEMINI_MOST_TILES, gemini_tiles)),
            Self::Flat(tokens) => tokens,
        }
    }
}

/// How many squares of that side cover a size.
fn squares((width, height): (u64, u64), side: u64) -> u64 {
    width.div_ceil(side).saturating_mul(height.div_ceil(side))
}

/// The size scaled by `to / from`, to the nearest pixel.
fn scaled((width, height): (u64, u64), to: u64, from: u64) -> (u64, u64) {
    let scale = |side: u64| ((side * to + from / 2) / from).max(1);
    (scale(width), scale(height))
}

/// Fits the longer side.
fn fitted(size: (u64, u64), most: u64) -> (u64, u64) {
    let longer = size.0.max(size.1);
    if longer > most { scaled(size, most, longer) } else { size }
}

fn openai_tiles(size: (u64, u64)) -> u64 {
    let size = fitted(size, 2048);
    let shorter = size.0.min(size.1);
    squares(if shorter > 768 { scaled(size, 768, shorter) } else { size }, 512)
}

/// Patches of a size after it was scaled down to the limit, as the guide does it: by area, then so that a whole number
/// of patches covers one side, then to whole pixels.
#[allow(clippy::cast_precision_loss, reason = "sides and budgets stay far below 2^53")]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and smaller than the size was")]
fn openai_patches(size: Option<(u64, u64)>, limit: Limit) -> u64 {
    // Without a limit there is no largest; that of the models before stands in.
    let Some(size) = size else { return limit.patches.min(LARGE.patches) };
    let size = fitted(size, limit.side);
    let patches = squares(size, 32);
    if patches <= limit.patches {
        return patches;
    }
    let (width, height) = (size.0 as f64 / 32.0, size.1 as f64 / 32.0);
    let shrink = (limit.patches as f64 / (width * height)).sqrt();
    let whole = |side: f64| (side * shrink).floor() / (side * shrink);
    let shrink = shrink * whole(width).min(whole(height));
    let pixels = |side: f64| (side * shrink * 32.0).round() as u64;
    squares((pixels(width), pixels(height)), 32).clamp(1, limit.patches)
}

/// Patches of a size after it was scaled down to the largest of its shape that keeps to the limit.
fn claude_patches(size: (u64, u64), limit: Limit) -> u64 {
    let longer = size.0.max(size.1);
    let patches = |most: u64| squares(fitted(size, most), 28);
    let (mut fits, mut exceeds) = (0, longer.min(limit.side) + 1);
    while fits + 1 < exceeds {
        let middle = fits.midpoint(exceeds);
        if patches(middle) <= limit.patches { fits = middle } else { exceeds = middle }
    }
    patches(fits)
}

/// One tile if it is small; else tiles of two thirds of its shorter side, 256 to 768 px: a rough formula of Google,
/// never fewer than tiles of 768 would be.
fn gemini_tiles(size: (u64, u64)) -> u64 {
    if size.0.max(size.1) <= 384 {
        return 1;
    }
    squares(size, (size.0.min(size.1) * 2 / 3).clamp(256, 768))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(model: &str, width: u32, height: u32, detail: Detail) -> u64 {
        count(&[Image { detail, size: Some((width, height)) }], model)
    }

    #[test]
    fn a_picture_costs_what_the_maker_of_the_model_publishes() {
        for (model, width, height, detail, tokens) in [
            ("gpt-4o", 1024, 1024, Detail::High, 765),
            ("openai::gpt-4o-2024-08-06", 2048, 4096, Detail::High, 1105),
            ("gpt-4.1", 4096, 8192, Detail::Low, 85),
            ("gpt-4o", 512, 512, Detail::Auto, 255),
            // On either side of a tile, as charged: a pixel is rounded to the nearest.
            ("gpt-4.1", 2049, 513, Detail::High, 1445),
            ("gpt-4.1", 2050, 513, Detail::High, 765),
            ("openrouter::openai/gpt-4o-mini", 1024, 1024, Detail::High, 2833 + 4 * 5667),
            ("gpt-4o-mini", 1024, 1024, Detail::Low, 2833),
            ("gpt-5", 1024, 1024, Detail::High, 70 + 4 * 140),
            ("gpt-5-2025-08-07", 1024, 1024, Detail::High, 70 + 4 * 140),
            ("o3", 1024, 1024, Detail::High, 75 + 4 * 150),
            ("computer-use-preview", 1024, 1024, Detail::High, 65 + 4 * 129),
            ("gpt-4.1-mini", 1024, 1024, Detail::High, 1659),
            ("gpt-4.1-mini", 1800, 2400, Detail::High, 2353),
            ("gpt-4.1-mini", 4000, 1474, Detail::High, 2489),
            ("ft:gpt-4.1-nano:org::id", 1800, 2400, Detail::Auto, 3572),
            ("openai::ft:gpt-4o-mini:org::id", 1800, 2400, Detail::Low, 2833),
            ("o4-mini", 1024, 1024, Detail::Low, 441),
            ("gpt-5.2", 1920, 1080, Detail::Auto, 1810),
            ("gpt-5.4", 1920, 1080, Detail::Auto, 2448),
            ("gpt-5.5", 3840, 2160, Detail::Auto, 9792),
            ("gpt-5.5", 4032, 3024, Detail::Auto, 11_868),
            ("gpt-6-astra", 2560, 1440, Detail::High, 2931),
            ("gpt-5.6-terra", 4032, 3024, Detail::Auto, 14_364),
            ("claude-sonnet-4-6", 1000, 1000, Detail::Auto, 1296),
            ("claude-haiku-4-5", 1920, 1080, Detail::Auto, 1560),
            ("anthropic::claude-opus-4-8", 1920, 1080, Detail::Auto, 2691),
            ("claude-3-5-sonnet-latest", 200, 200, Detail::Low, 64),
            ("gemini-2.5-flash", 384, 384, Detail::Auto, 258),
            ("gemini-2.0-flash", 960, 540, Detail::Auto, 6 * 258),
            ("gemini::models/gemini-3-pro-preview", 4000, 4000, Detail::Auto, 1120),
            ("grok-4", 1024, 1024, Detail::High, 765),
        ] {
            assert_eq!(of(model, width, height, detail), tokens, "{model} {width} x {height} {detail:?}");
        }
    }

    const MODELS: [&str; 9] = [
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-5-mini",
        "gpt-5.4",
        "gpt-5.5",
        "o3",
        "claude-sonnet-4-5",
        "claude-opus-4-7",
        "gemini-3-flash",
    ];

    proptest! {
        #[test]
        fn a_picture_of_unknown_size_costs_no_less_than_any_other(
            width in prop_oneof![1_u32..5000, any::<u32>().prop_map(|side| side.max(1))],
            height in prop_oneof![1_u32..5000, any::<u32>().prop_map(|side| side.max(1))],
            detail in prop::sample::select(vec![Detail::Auto, Detail::Low, Detail::High, Detail::Original]),
        ) {
            for model in MODELS {
                let known = of(model, width, height, detail);
                let unknown = count(&[Image { detail, size: None }], model);
                prop_assert!((1..=unknown).contains(&known), "{} {} {}", model, known, unknown);
            }
            for model in ["gpt-6", "gemini-2.5-pro"] {
                prop_assert!(of(model, width, height, detail) > 0, "{}", model);
            }
        }
    }
}
