//! Which pieces are one token as they stand: most are, and encoding them comes to that token.
//!
//! So this only has to be right where it says yes. Tokens are kept as numbers, in open addressing: those of up to eight
//! and of up to sixteen bytes, padded with zeros, and therefore none that ends in a zero. Longer ones stand in one text.

#![expect(
    clippy::cast_possible_truncation,
    reason = "what is cast has fewer bits, of a slot, or is a half of what it was"
)]

/// Pieces that are tokens.
pub(super) struct Whole {
    short: Table<u64>,
    medium: Table<u128>,
    /// Where the bytes of longer ones begin and how many they are; 0 is none.
    long: Table<u64>,
    bytes: Vec<u8>,
}

/// Bytes of a number.
const SHORT: usize = 8;
pub(super) const MEDIUM: usize = 16;
/// Bits of the number of bytes.
const LENGTH_BITS: u32 = 8;

impl Whole {
    /// Of all tokens of more than one byte.
    pub(super) fn new<'a>(tokens: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let tokens = tokens.filter(|token| token.last() != Some(&0));
        let count =
            |least: usize, most: usize| tokens.clone().filter(|token| (least..=most).contains(&token.len())).count();
        let mut whole = Self {
            short: Table::new(count(0, SHORT)),
            medium: Table::new(count(SHORT + 1, MEDIUM)),
            long: Table::new(count(MEDIUM + 1, usize::MAX)),
            bytes: Vec::new(),
        };
        for token in tokens {
            match token.len() {
                0..=SHORT => {
                    let number = short(token);
                    whole.short.insert(number, mix(number));
                }
                9..=MEDIUM => {
                    let number = medium(token);
                    whole.medium.insert(number, mix_both(number));
                }
                length => {
                    let place = (whole.bytes.len() as u64) << LENGTH_BITS | length as u64;
                    whole.bytes.extend(token);
                    whole.long.insert(place, mix_all(token));
                }
            }
        }
        whole
    }

    /// Whether this is a token: a piece of at most [`MEDIUM`] bytes, as [`number`] has it.
    #[inline]
    pub(super) fn has(&self, number: u128) -> bool {
        match u64::try_from(number) {
            Ok(number) => self.short.find(mix(number), |entry| entry == number),
            Err(_) => self.medium.find(mix_both(number), |entry| entry == number),
        }
    }

    /// The same of a longer piece.
    pub(super) fn has_long(&self, piece: &[u8]) -> bool {
        if piece.len() >= 1 << LENGTH_BITS {
            return false;
        }
        self.long.find(mix_all(piece), |entry| {
            let start = (entry >> LENGTH_BITS) as usize;
            entry & ((1 << LENGTH_BITS) - 1) == piece.len() as u64 && self.bytes[start..start + piece.len()] == *piece
        })
    }
}

/// A stretch of at least one byte of a text as a number, if it is no longer than [`MEDIUM`] and no other stretch is the
/// same number.
#[inline]
pub(super) fn number(text: &[u8], start: usize, end: usize) -> Option<u128> {
    let length = end - start;
    if length > MEDIUM || text[end - 1] == 0 {
        return None;
    }
    // Reads on beyond the piece where there is something, which is quicker than to read just that.
    Some(match text.get(start..start + MEDIUM).and_then(|bytes| bytes.try_into().ok()) {
        Some(bytes) => u128::from_le_bytes(bytes) & (u128::MAX >> (8 * (MEDIUM - length))),
        None => medium(&text[start..end]),
    })
}

fn short(piece: &[u8]) -> u64 {
    let mut bytes = [0; SHORT];
    bytes[..piece.len()].copy_from_slice(piece);
    u64::from_le_bytes(bytes)
}

fn medium(piece: &[u8]) -> u128 {
    let mut bytes = [0; MEDIUM];
    bytes[..piece.len()].copy_from_slice(piece);
    u128::from_le_bytes(bytes)
}

/// Spreads a number over all bits. The halves of the product are folded, because in the upper one alone the last
/// characters of a piece would change little.
#[inline]
fn mix(number: u64) -> u64 {
    let product = u128::from(number) * 0x9e37_79b9_7f4a_7c15;
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn mix_both(number: u128) -> u64 {
    let (low, high) = (number as u64, (number >> 64) as u64);
    mix(mix(low).rotate_left(32) ^ high)
}

fn mix_all(piece: &[u8]) -> u64 {
    piece.chunks(SHORT).fold(0, |sum, chunk| mix(sum.rotate_left(32) ^ short(chunk)))
}

/// A set in open addressing, half of it empty.
struct Table<Entry> {
    slots: Vec<Entry>,
    shift: u32,
}

impl<Entry: Copy + Default + PartialEq> Table<Entry> {
    fn new(entries: usize) -> Self {
        let slots = (entries * 2).next_power_of_two().max(2);
        Self { slots: vec![Entry::default(); slots], shift: 64 - slots.trailing_zeros() }
    }

    fn insert(&mut self, entry: Entry, hash: u64) {
        let mut slot = (hash >> self.shift) as usize;
        while self.slots[slot] != Entry::default() {
            slot = (slot + 1) % self.slots.len();
        }
        self.slots[slot] = entry;
    }

    #[inline]
    fn find(&self, hash: u64, is_it: impl Fn(Entry) -> bool) -> bool {
        let mut slot = (hash >> self.shift) as usize;
        loop {
            let entry = self.slots[slot & (self.slots.len() - 1)];
            if entry == Entry::default() {
                return false;
            }
            if is_it(entry) {
                return true;
            }
            slot += 1;
        }
    }
}
