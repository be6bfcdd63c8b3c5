//! What the answers of a deployment have been costing: what is reserved for the next one whose caller sets no limit.

/// Answers that are looked at: enough for a quantile, few enough to forget a change of use within minutes.
const SAMPLES: usize = 64;

/// The share of answers that cost no more than what is reserved, 0.9. More would keep room empty that nearly nobody uses;
/// less would let more answers overrun their reservation, which the window then makes the next callers wait for.
const QUANTILE: f64 = 0.9;

/// Answers before which the first guess is the least that is reserved.
const ENOUGH: usize = 10;

/// What an answer is taken to cost before any was seen, in tokens.
pub(super) const FIRST_GUESS: u64 = 256;

/// The completion tokens of the last answers, in a ring, and in their order.
#[derive(Clone, Debug)]
pub(super) struct Typical {
    ring: Vec<u64>,
    sorted: Vec<u64>,
    next: usize,
}

impl Typical {
    pub fn new() -> Self {
        Self { ring: Vec::with_capacity(SAMPLES), sorted: Vec::with_capacity(SAMPLES), next: 0 }
    }

    /// Takes the newest answer; gives what nine of ten cost at most.
    pub fn push(&mut self, tokens: u64) -> u64 {
        match self.ring.get_mut(self.next) {
            Some(place) => {
                let oldest = std::mem::replace(place, tokens);
                self.sorted.remove(self.sorted.partition_point(|other| *other < oldest));
            }
            None => self.ring.push(tokens),
        }
        self.next = (self.next + 1) % SAMPLES;
        let sorted = &mut self.sorted;
        sorted.insert(sorted.partition_point(|other| *other < tokens), tokens);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "64")]
        let rank = (QUANTILE * sorted.len() as f64).ceil() as usize;
        let typical = sorted[rank.clamp(1, sorted.len()) - 1];
        // A few short answers prove nothing.
        if self.ring.len() < ENOUGH { typical.max(FIRST_GUESS) } else { typical }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_of_ten_answers_cost_no_more_than_what_is_reserved() {
        let mut typical = Typical::new();
        let mut reserved = 0;
        for tokens in (1..=SAMPLES as u64).rev() {
            reserved = typical.push(tokens);
        }
        assert_eq!(reserved, 58);
        assert_eq!((Typical::new().push(7), Typical::new().push(7_000)), (FIRST_GUESS, 7_000), "one proves nothing");
    }

    #[test]
    fn what_answers_cost_long_ago_is_forgotten() {
        let mut typical = Typical::new();
        for _ in 0..100 {
            typical.push(9_000);
        }
        let reserved = (0..SAMPLES).map(|_| typical.push(10)).last();
        assert_eq!(reserved, Some(10));
        assert_eq!(typical.ring.len(), SAMPLES);
    }

    #[test]
    fn the_order_is_that_of_the_last_answers_whatever_they_cost() {
        let (mut typical, mut random) = (Typical::new(), fastrand::Rng::with_seed(7));
        for _ in 0..1_000 {
            typical.push(random.u64(..50));
            let mut last = typical.ring.clone();
            last.sort_unstable();
            assert_eq!(typical.sorted, last);
        }
    }
}
