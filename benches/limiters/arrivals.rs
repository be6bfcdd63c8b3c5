//! Who asks, when, and for how much. Seeded: everybody who is compared gets the same.

use std::time::Duration;

use fastrand::Rng;

/// How often the bursts and the quiet times between them ask, as a multiple of the mean, and how many seconds they are
/// long on average: three quarters of the time at 0.6, one quarter at 2.2.
const QUIET: (f64, f64) = (0.6, 90.0);
const BURST: (f64, f64) = (2.2, 30.0);
const STEADY: (f64, f64) = (1.0, 60.0);

/// Sizes are log-normal with this median and deviation, cut off at both ends: about 1,600 tokens on average.
const MEDIAN_TOKENS: f64 = 1_100.0;
const DEVIATION: f64 = 0.9;
pub const SMALLEST: u64 = 100;
pub const LARGEST: u64 = 8_000;

/// One request: when it comes, and what it costs.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub at: Duration,
    pub tokens: u64,
}

/// A Poisson process whose rate switches between two phases.
pub struct Arrivals {
    rng: Rng,
    now: Duration,
    phases: [(f64, f64); 2],
    /// The end of the first of the phases.
    until: Duration,
}

impl Arrivals {
    /// The rate is always the same.
    pub fn steady(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), now: Duration::ZERO, phases: [STEADY; 2], until: Duration::ZERO }
    }

    /// The next one, when `per_minute` come on average.
    pub fn next(&mut self, per_minute: impl Fn(Duration) -> f64) -> Request {
        loop {
            if self.now >= self.until {
                self.phases.reverse();
                self.until = self.now + exponential(&mut self.rng, self.phases[0].1);
            }
            let factor = self.phases[0].0;
            let at = self.now + exponential(&mut self.rng, 60.0 / (per_minute(self.now) * factor));
            // A gap that reaches into the next phase is drawn again there: a Poisson process has no memory.
            self.now = at.min(self.until);
            if at < self.until {
                return Request { at, tokens: tokens(&mut self.rng) };
            }
        }
    }

    /// All that come within `length`, in bursts.
    pub fn bursts(seed: u64, per_minute: f64, length: Duration) -> Vec<Request> {
        let mut arrivals = Self { phases: [BURST, QUIET], ..Self::steady(seed) };
        std::iter::repeat_with(|| arrivals.next(|_| per_minute)).take_while(|request| request.at < length).collect()
    }
}

/// The size of a request.
pub fn tokens(rng: &mut Rng) -> u64 {
    count(log_normal(rng, MEDIAN_TOKENS, DEVIATION)).clamp(SMALLEST, LARGEST)
}

pub fn log_normal(rng: &mut Rng, median: f64, deviation: f64) -> f64 {
    // Box and Muller.
    let normal = (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
    median * (deviation * normal).exp()
}

fn exponential(rng: &mut Rng, mean_s: f64) -> Duration {
    Duration::from_secs_f64(-(1.0 - rng.f64()).ln() * mean_s)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tokens of one request; saturates")]
pub fn count(number: f64) -> u64 {
    number.round() as u64
}

#[allow(clippy::cast_precision_loss, reason = "counts of a simulation stay far below 2^53")]
pub fn number(count: u64) -> f64 {
    count as f64
}
