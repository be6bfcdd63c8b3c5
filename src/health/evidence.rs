//! Whether a deployment fails now and then, or altogether.

use std::time::Duration;

use tokio::time::Instant;

/// Transient failures in a row that open a closed circuit, if most of the latest attempts failed. Three: one is retried on
/// the spot, two are bad luck.
pub const FAILURES_TO_OPEN: u32 = 3;

/// Failures in a row that say enough whatever was before: half of them being good, that happens once in a million.
const OVERWHELMING: u32 = 20;

/// The time in which an outcome counts for 1/e as much: a second. So a deployment that is asked a thousand times a second
/// needs more than three failures in a row, which happen to it all the time, and one that is asked seldom needs no more.
const MEMORY: Duration = Duration::from_secs(1);

/// So many times as many bad ones as good ones are most: less than a quarter is good. An outage, that is; where half of
/// the attempts fail, trying again is better than waiting.
const MOST: f64 = 3.0;

/// What the answer to a probe counts for. Little: if the next one fails, it was luck.
const PROBE: f64 = 0.25;

/// How attempts went lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    /// Failures since the last good one.
    row: u32,
    /// When the first of them was sent.
    failing_since: Option<Instant>,
    /// The sums of what each outcome counts for, at the time of the last one.
    good: f64,
    bad: f64,
    at: Option<Instant>,
}

impl Evidence {
    /// Of a deployment that was found to be back.
    pub fn of_probe(now: Instant) -> Self {
        Self { good: PROBE, at: Some(now), ..Self::default() }
    }

    pub fn succeed(&mut self, now: Instant) {
        self.fade(now);
        self.good += 1.0;
        (self.row, self.failing_since) = (0, None);
    }

    /// A failure of an attempt that took so long.
    pub fn fail(&mut self, took: Duration, now: Instant) {
        self.fade(now);
        self.bad += 1.0;
        self.row = self.row.saturating_add(1);
        self.failing_since.get_or_insert(now.checked_sub(took).unwrap_or(now));
    }

    /// Whether a deployment that was taken to be healthy is down.
    pub fn is_down(&self) -> bool {
        self.row >= FAILURES_TO_OPEN && self.is_still_down()
    }

    /// Whether one that was down and has answered is so again: there is no doubt for it to have the benefit of.
    pub fn is_still_down(&self) -> bool {
        self.bad > MOST * self.good || self.row >= OVERWHELMING
    }

    /// Whether most went well, or all but one.
    pub fn is_good(mut self, now: Instant) -> bool {
        self.fade(now);
        self.bad <= (self.good / MOST).max(1.0)
    }

    /// For how long nothing has been good.
    pub fn failing_for(&self, now: Instant) -> Duration {
        self.failing_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn fade(&mut self, now: Instant) {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let left = (-passed.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        (self.good, self.bad) = (self.good * left, self.bad * left);
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_half_of_the_time_is_neither_good_nor_down_until_it_is_forgotten() {
        let (mut evidence, now) = (Evidence::default(), Instant::now());
        assert!(evidence.is_good(now));
        evidence.fail(Duration::ZERO, now);
        assert!(evidence.is_good(now), "once is nothing");
        for _ in 0..10 {
            evidence.succeed(now);
            evidence.fail(Duration::ZERO, now);
        }
        assert!(!evidence.is_good(now) && !evidence.is_down());
        assert!(evidence.is_good(now + Duration::from_secs(3)));
    }

    /// How many of 20 deployments are found to be down within a minute that fail this share of the time after a good
    /// second, and are asked so often in a second.
    fn found_down(share: f64, rate: u32) -> usize {
        let is_found = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut evidence, mut now) = (Evidence::default(), Instant::now());
            (0..rate).for_each(|_| evidence.succeed(now));
            (0..60 * rate).any(|_| {
                now += Duration::from_secs(1) / rate;
                if rng.f64() < share {
                    evidence.fail(Duration::ZERO, now);
                } else {
                    evidence.succeed(now);
                }
                evidence.is_down()
            })
        };
        (0..20).filter(|seed| is_found(*seed)).count()
    }

    #[test]
    fn who_fails_now_and_then_is_not_down_however_often_it_is_asked() {
        for (share, rate) in [(0.05, 20), (0.05, 2000), (0.2, 100), (0.5, 200)] {
            assert!(found_down(share, rate) <= 1, "{share} at {rate} a second: {}", found_down(share, rate));
        }
    }

    #[test]
    fn who_fails_nearly_always_is_down() {
        for rate in [1, 10, 1000] {
            assert_eq!(found_down(0.95, rate), 20, "at {rate} a second");
        }
    }

    #[test]
    fn an_outage_is_seen_within_two_seconds_or_three_failures_whatever_was_before() {
        for rate in [1, 5, 20, 100, 2000] {
            let (mut evidence, mut now) = (Evidence::default(), Instant::now());
            for _ in 0..30 * rate {
                now += Duration::from_secs(1) / rate;
                evidence.succeed(now);
            }
            let begun = now;
            let mut failures = 0;
            while !evidence.is_down() {
                now += Duration::from_secs(1) / rate;
                evidence.fail(Duration::ZERO, now);
                failures += 1;
            }
            assert!(
                failures == 3 || now - begun <= Duration::from_secs(2),
                "{failures} in {:?} at {rate}",
                now - begun
            );
            assert!(failures <= OVERWHELMING);
        }
    }
}
