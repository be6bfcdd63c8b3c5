//! How fast a deployment has been: quantiles of its last answers, and one number to compare deployments by.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// Answers that quantiles are taken from: enough that the 99th percentile is not just the slowest.
const SAMPLES: usize = 256;

/// The time in which the peak EWMA forgets all but 1/e: 10 s, Finagle's default.
const DECAY: Duration = Duration::from_secs(10);

/// Answers whose time to the first token must be known before an attempt is hedged by them: fewer say little of a quantile.
const HEDGE_SAMPLES: usize = 5;

/// What a failure counts as at least, 1 s, so that failing at once does not look fast.
const PENALTY_MS: f64 = 1_000.0;

/// What failures in a row count as at most, a minute.
const LARGEST_PENALTY_MS: f64 = 60_000.0;

/// The latency of one deployment's last 256 answers, in memory. Recording allocates nothing.
#[derive(Debug)]
pub struct Latency {
    record: Mutex<Record>,
}

/// Quantiles in milliseconds; 0 when nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// 95 of 100 were no slower.
    pub p95: f64,
    /// 99 of 100 were no slower.
    pub p99: f64,
}

#[derive(Debug)]
struct Record {
    total: Samples,
    first_token: Samples,
    peak: Option<Peak>,
}

impl Latency {
    /// Nothing measured.
    #[must_use]
    pub fn new() -> Self {
        Self { record: Mutex::new(Record { total: Samples::new(), first_token: Samples::new(), peak: None }) }
    }

    /// An answer: the time to all of it, and to its first token.
    pub fn record(&self, total: Duration, first_token: Duration, now: Instant) {
        self.record_first_token(first_token, now);
        self.record_total(total);
    }

    /// The first token of an answer, which may go on for minutes.
    pub fn record_first_token(&self, first_token: Duration, now: Instant) {
        let mut record = self.lock();
        record.first_token.push(milliseconds(first_token));
        record.observe(milliseconds(first_token), now);
    }

    /// The end of an answer whose first token was recorded.
    pub fn record_total(&self, total: Duration) {
        self.lock().total.push(milliseconds(total));
    }

    /// A failure counts as a slow answer: twice what is expected, from 1 s to a minute. It is in no quantile.
    pub fn penalise(&self, now: Instant) {
        let mut record = self.lock();
        let expected = record.peak.map_or(0.0, |peak| peak.at(now));
        record.observe((2.0 * expected).clamp(PENALTY_MS, LARGEST_PENALTY_MS), now);
    }

    /// Of the time to the whole answer.
    #[must_use]
    pub fn total_quantiles(&self) -> Quantiles {
        self.lock().total.quantiles()
    }

    /// Of the time to the first token.
    #[must_use]
    pub fn first_token_quantiles(&self) -> Quantiles {
        self.lock().first_token.quantiles()
    }

    /// Any quantile of the time to the first token, in milliseconds, with `quantile` from 0 to 1; `None` when nothing
    /// was measured.
    #[must_use]
    pub fn first_token_quantile(&self, quantile: f64) -> Option<f64> {
        self.lock().first_token.quantile(quantile)
    }

    /// The peak EWMA of the time to the first token, in milliseconds; `None` before the first answer or failure.
    ///
    /// It rises to a slower answer at once and falls with time: towards faster answers as they come, and towards nothing
    /// while none comes, so that a deployment that was slow is tried again. Source: Finagle's and tower's `PeakEwma`.
    #[must_use]
    pub fn peak_ewma_ms(&self, now: Instant) -> Option<f64> {
        self.lock().peak.map(|peak| peak.at(now))
    }

    // A std mutex: nothing is awaited while it is held.
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a first token may take before another deployment is asked too: this quantile, from 0 to 1, of the deployment's
/// recent ones, or of all the `others` and its own if it has hardly answered yet. `None` if too little is known.
pub fn hedge_delay<'a>(quantile: f64, own: &Latency, others: impl Iterator<Item = &'a Latency>) -> Option<Duration> {
    let mut samples = own.lock().first_token.sorted();
    if samples.len() < HEDGE_SAMPLES {
        others.for_each(|other| samples.extend_from_slice(&other.lock().first_token.ring));
        samples.sort_unstable_by(f64::total_cmp);
    }
    let milliseconds = nearest_rank(&samples, quantile).filter(|_| samples.len() >= HEDGE_SAMPLES)?;
    Duration::try_from_secs_f64(milliseconds / 1000.0).ok()
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Record {
    fn observe(&mut self, sample: f64, now: Instant) {
        let value = match self.peak {
            Some(peak) if sample <= peak.value => peak.at(now) + sample * (1.0 - peak.left(now)),
            _ => sample,
        };
        self.peak = Some(Peak { value, at: now });
    }
}

/// A value that decays.
#[derive(Clone, Copy, Debug)]
struct Peak {
    value: f64,
    at: Instant,
}

impl Peak {
    /// The share of it that is left.
    fn left(self, now: Instant) -> f64 {
        (-now.saturating_duration_since(self.at).as_secs_f64() / DECAY.as_secs_f64()).exp()
    }

    fn at(self, now: Instant) -> f64 {
        self.value * self.left(now)
    }
}

/// The last samples, in a ring.
#[derive(Debug)]
struct Samples {
    ring: Vec<f64>,
    /// Where the next sample goes once the ring is full.
    next: usize,
}

impl Samples {
    fn new() -> Self {
        Self { ring: Vec::with_capacity(SAMPLES), next: 0 }
    }

    fn push(&mut self, sample: f64) {
        if self.ring.len() < SAMPLES {
            self.ring.push(sample);
            return;
        }
        if let Some(oldest) = self.ring.get_mut(self.next) {
            *oldest = sample;
        }
        self.next = (self.next + 1) % SAMPLES;
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.ring.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }

    fn quantiles(&self) -> Quantiles {
        let sorted = self.sorted();
        let at = |quantile| nearest_rank(&sorted, quantile).unwrap_or(0.0);
        Quantiles { p50: at(0.50), p95: at(0.95), p99: at(0.99) }
    }

    fn quantile(&self, quantile: f64) -> Option<f64> {
        nearest_rank(&self.sorted(), quantile)
    }
}

/// The smallest sample that `quantile` of all are not above.
fn nearest_rank(sorted: &[f64], quantile: f64) -> Option<f64> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "at most 256; saturates"
    )]
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn nothing_measured_is_zero_and_no_estimate() {
        let (latency, now) = (Latency::new(), Instant::now());
        assert_eq!(latency.total_quantiles(), Quantiles::default());
        assert_eq!((latency.peak_ewma_ms(now), latency.first_token_quantile(0.5)), (None, None));
    }

    #[test]
    fn quantiles_are_those_of_the_samples() {
        let (latency, now) = (Latency::new(), Instant::now());
        for number in (1..=100).rev() {
            latency.record(ms(number * 10), ms(number), now);
        }
        assert_eq!(latency.total_quantiles(), Quantiles { p50: 500.0, p95: 950.0, p99: 990.0 });
        assert_eq!(latency.first_token_quantiles(), Quantiles { p50: 50.0, p95: 95.0, p99: 99.0 });
        assert_eq!(latency.first_token_quantile(0.0), Some(1.0));
        assert_eq!(latency.first_token_quantile(1.0), Some(100.0));
    }

    #[test]
    fn the_oldest_answer_is_forgotten_first_and_nothing_is_allocated() {
        let mut samples = Samples::new();
        let capacity = samples.ring.capacity();
        for number in 0..1000_u16 {
            samples.push(f64::from(number));
        }
        assert_eq!(samples.ring.capacity(), capacity);
        assert_eq!((samples.quantile(0.0), samples.quantile(1.0)), (Some(744.0), Some(999.0)));
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_is_forgotten_with_time() {
        let (latency, start) = (Latency::new(), Instant::now());
        latency.record(ms(100), ms(100), start);
        latency.record(ms(900), ms(900), start);
        assert_eq!(latency.peak_ewma_ms(start), Some(900.0));
        latency.record(ms(100), ms(100), start);
        assert_eq!(latency.peak_ewma_ms(start), Some(900.0), "a fast answer in the same moment outweighs nothing");
        let later = start + DECAY;
        latency.record(ms(100), ms(100), later);
        let expected = 900.0 / std::f64::consts::E + 100.0 * (1.0 - 1.0 / std::f64::consts::E);
        assert!((latency.peak_ewma_ms(later).unwrap() - expected).abs() < 1e-9);
        assert!(latency.peak_ewma_ms(later + 10 * DECAY).unwrap() < 0.1, "silence makes it worth a try");
    }

    #[test]
    fn a_failure_is_slow_and_failures_in_a_row_are_slower() {
        let (latency, now) = (Latency::new(), Instant::now());
        latency.record(ms(10), ms(10), now);
        latency.penalise(now);
        assert_eq!(latency.peak_ewma_ms(now), Some(1_000.0));
        latency.penalise(now);
        assert_eq!(latency.peak_ewma_ms(now), Some(2_000.0));
        for _ in 0..20 {
            latency.penalise(now);
        }
        assert_eq!(latency.peak_ewma_ms(now), Some(60_000.0));
        assert!(latency.total_quantiles().p99 < 11.0, "a failure is in no quantile");
    }

    proptest! {
        #[test]
        fn the_estimate_is_never_above_the_slowest_nor_below_the_newest_when_it_came(
            answers in prop::collection::vec((0_u64..30_000, 1_u64..100_000), 1..60)
        ) {
            let latency = Latency::new();
            let mut now = Instant::now();
            let mut slowest = 0.0_f64;
            for (gap, took) in answers {
                now += ms(gap);
                latency.record(ms(took), ms(took), now);
                let took = milliseconds(ms(took));
                slowest = slowest.max(took);
                let estimate = latency.peak_ewma_ms(now).unwrap();
                prop_assert!(estimate <= slowest + 1e-6 && estimate >= took - 1e-6, "{estimate} of {took}, {slowest}");
            }
        }
    }
}
