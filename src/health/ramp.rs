//! How a deployment that is back takes on work again.

use std::time::Duration;

use tokio::time::Instant;

/// In this time the number of requests that it takes at once doubles, however slow its answers are.
const DOUBLING: Duration = Duration::from_millis(500);

/// When it is done, unless it is pressed: ten doublings, a thousand requests at once.
const LENGTH: Duration = Duration::from_secs(5);

/// When it is done in any case: twenty doublings, a million. Whoever waits in a longer line than a thousand is not let
/// loose at one moment either.
const LONGEST: Duration = Duration::from_secs(10);

/// A deployment on the way from its first request to all of them.
///
/// It takes at once one request more than it has answered, so that the number doubles with every round of answers; and
/// where answers take long, at least as many as the time since its recovery says. A deployment that nobody presses is
/// not held up at all. Source: slow start of TCP (RFC 5681, 3.1), with the floor by time because answers of models take
/// many times longer than acknowledgements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ramp {
    since: Instant,
    answered: u64,
}

impl Ramp {
    /// Begins, with this many answers.
    pub fn new(since: Instant, answered: u64) -> Self {
        Self { since, answered }
    }

    /// One more answer.
    pub fn succeed(&mut self) {
        self.answered = self.answered.saturating_add(1);
    }

    /// How many requests it takes at once.
    pub fn allowance(&self, now: Instant) -> u64 {
        let doublings = now.saturating_duration_since(self.since).as_secs_f64() / DOUBLING.as_secs_f64();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and saturates")]
        let by_time = doublings.exp2() as u64;
        self.answered.saturating_add(1).max(by_time)
    }

    /// When it takes more than this many at once, if it answers none before.
    pub fn exceeds_at(&self, in_flight: u64) -> Instant {
        #[allow(clippy::cast_precision_loss, reason = "the end comes far below 2^53")]
        let doublings = (in_flight.saturating_add(1) as f64).log2();
        // A microsecond late, so that it is never early by a rounding.
        let after = DOUBLING.mul_f64(doublings) + Duration::from_micros(1);
        self.since + after.min(LONGEST)
    }

    /// Whether it takes whatever comes, with so many requests under way: half of what it may take presses nobody.
    pub fn is_over(&self, in_flight: u64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        passed >= LONGEST || (passed >= LENGTH && in_flight <= self.allowance(now) / 2)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_doubles_with_every_round_of_answers() {
        let now = Instant::now();
        let mut ramp = Ramp::new(now, 1);
        for round in 1..=8 {
            let allowance = ramp.allowance(now);
            assert_eq!(allowance, 1 << round);
            (0..allowance).for_each(|_| ramp.succeed());
        }
    }

    #[test]
    fn a_slow_deployment_gets_more_with_time_and_everything_in_the_end() {
        let now = Instant::now();
        let ramp = Ramp::new(now, 1);
        for (milliseconds, allowance) in [(0, 2), (499, 2), (1000, 4), (1500, 8), (4500, 512)] {
            assert_eq!(ramp.allowance(now + Duration::from_millis(milliseconds)), allowance, "{milliseconds} ms");
        }
        assert!(!ramp.is_over(0, now + Duration::from_millis(4999)) && ramp.is_over(512, now + LENGTH));
        assert!(!ramp.is_over(513, now + LENGTH) && ramp.is_over(u64::MAX, now + LONGEST));
        assert_eq!(ramp.exceeds_at(u64::MAX), now + LONGEST);
    }

    proptest! {
        #[test]
        fn what_it_takes_never_shrinks_and_is_there_when_it_was_said_to_be(
            steps in prop::collection::vec((0_u64..700_000, 0_u64..4), 0..40),
            in_flight in 0_u64..2000,
        ) {
            let mut now = Instant::now();
            let mut ramp = Ramp::new(now, 0);
            let mut before = 0;
            for (gap, answers) in steps {
                now += Duration::from_micros(gap);
                (0..answers).for_each(|_| ramp.succeed());
                let allowance = ramp.allowance(now);
                prop_assert!(allowance >= before.max(1));
                before = allowance;
            }
            let at = ramp.exceeds_at(in_flight);
            prop_assert!(ramp.allowance(at) > in_flight);
        }
    }
}
