//! Which two neighbouring tokens are joined, and to what.
//!
//! tiktoken joins two parts if their bytes together are a token, whichever parts they are. Here only one pair is known
//! for each token, and that gives the same: the parts within a stretch of bytes that nothing has been joined across are
//! those that its own encoding comes to, because of all joins the lowest rank, and of equal ones the first, is always
//! the next, and so it is among those within the stretch. So whenever two parts are a token together, they are the two
//! that its own encoding has before its last step, and those are what the vocabulary is packed as (a test looks at each).

#![expect(clippy::cast_possible_truncation, reason = "what is cast has fewer bits, of a rank or of a slot")]

/// Bits of a rank.
pub(super) const RANK_BITS: u32 = 18;

/// No token.
pub(super) const NONE: u32 = u32::MAX;

/// Slots for each pair: most of what is looked up is not there, and is to be found missing at once.
const ROOM: usize = 2;

/// Pairs of tokens and what each becomes.
pub(super) struct Pairs {
    /// A power of two of entries: two ranks and the rank of both together; 0 is none. Where one is taken, the next is.
    slots: Vec<u64>,
    shift: u32,
    /// The same for tokens of one byte, by their bytes.
    bytes: Vec<u32>,
    /// The ranks of tokens of one byte.
    ranks: [u32; 256],
}

impl Pairs {
    /// For tokens of one byte of these ranks, and so many others.
    pub(super) fn new(ranks: &[u32; 256], joined: usize) -> Self {
        let slots = (joined * ROOM).next_power_of_two();
        Self { slots: vec![0; slots], shift: 64 - slots.trailing_zeros(), bytes: vec![NONE; 1 << 16], ranks: *ranks }
    }

    pub(super) fn insert(&mut self, first: u32, second: u32, rank: u32) {
        let key = key(first, second);
        let mut slot = self.slot(key);
        while self.slots[slot] != 0 {
            slot = (slot + 1) % self.slots.len();
        }
        self.slots[slot] = key << RANK_BITS | u64::from(rank);
    }

    /// Once all pairs are there.
    pub(super) fn finish(&mut self) {
        for (first, high) in self.ranks.into_iter().zip(0_usize..) {
            for (second, low) in self.ranks.into_iter().zip(0..) {
                self.bytes[high << 8 | low] = self.joined(first, second);
            }
        }
    }

    #[inline]
    fn slot(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    /// What two tokens become; [`NONE`] if they are not joined.
    #[inline]
    pub(super) fn joined(&self, first: u32, second: u32) -> u32 {
        let key = key(first, second);
        let mut slot = self.slot(key);
        loop {
            let entry = self.slots[slot & (self.slots.len() - 1)];
            if entry >> RANK_BITS == key {
                return (entry & ((1 << RANK_BITS) - 1)) as u32;
            }
            if entry == 0 {
                return NONE;
            }
            slot += 1;
        }
    }

    /// The same of two bytes.
    #[inline]
    pub(super) fn joined_bytes(&self, first: u8, second: u8) -> u32 {
        self.bytes[usize::from(first) << 8 | usize::from(second)]
    }

    /// The token of a byte.
    #[inline]
    pub(super) fn byte(&self, byte: u8) -> u32 {
        self.ranks[usize::from(byte)]
    }
}

#[inline]
fn key(first: u32, second: u32) -> u64 {
    u64::from(first) << RANK_BITS | u64::from(second)
}
