//! How often and how soon a failed call is tried again.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::Invalid;
use crate::fields::Fields;

/// Seconds that a request counts for in the budget.
const WINDOW_S: u32 = 10;

/// Retries a second that are always allowed, so that a quiet router retries too.
const FLOOR_PER_S: u32 = 10;

/// One second each: the current one, those of the window, and one more for the beginning of a window that starts within.
const SLOTS: usize = WINDOW_S as usize + 1;

/// When and how often to try again: `retry` of a router's options.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryOptions {
    /// Further attempts, all deployments together: `maxRetries`, 3.
    pub max_retries: u32,
    /// Bound of the first pause: `baseDelayMs`, 500 ms.
    pub base_delay: Duration,
    /// The longest pause, and the longest `Retry-After` that is waited for: `maxDelayMs`, 30 s.
    pub max_delay: Duration,
    /// Share of the requests of the last 10 s that may be retries, on top of 10 a second: `budget`, 0.2, from 0 to 1.
    pub budget: f64,
    /// First rest of a failing deployment: `cooldownMs`, 5 s.
    pub cooldown: Duration,
    /// Quantile of recent times to the first token after which a second attempt starts elsewhere: `hedgeQuantile`,
    /// between 0 and 1. `None`, the default, is never.
    pub hedge_quantile: Option<f64>,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            max_retries: 3,
            base_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(30),
            budget: 0.2,
            cooldown: Duration::from_secs(5),
            hedge_quantile: None,
        }
    }
}

impl RetryOptions {
    /// Reads the options; what is absent has its default.
    ///
    /// # Errors
    /// If a field is of the wrong type, out of its range or unknown.
    pub fn read(mut fields: Fields) -> Result<Self, Invalid> {
        let default = Self::default();
        let max_retries = fields.integer("maxRetries", 0)?;
        let options = Self {
            max_retries: max_retries.map_or(default.max_retries, |count| u32::try_from(count).unwrap_or(u32::MAX)),
            base_delay: fields.duration_ms("baseDelayMs")?.unwrap_or(default.base_delay),
            max_delay: fields.duration_ms("maxDelayMs")?.unwrap_or(default.max_delay),
            budget: fields.number("budget", 0.0, 1.0)?.unwrap_or(default.budget),
            cooldown: fields.duration_ms("cooldownMs")?.unwrap_or(default.cooldown),
            hedge_quantile: fields.number("hedgeQuantile", 0.0, 1.0)?,
        };
        if let Some(edge) = options.hedge_quantile.filter(|quantile| *quantile <= 0.0 || *quantile >= 1.0) {
            let refusal = fields.type_error("hedgeQuantile", "a number between 0 and 1, not one of them", edge);
            return Err(Invalid { is_range: true, ..refusal });
        }
        fields.finish("maxRetries, baseDelayMs, maxDelayMs, budget, cooldownMs, hedgeQuantile")?;
        Ok(options)
    }
}

/// The pause before the retry `attempt`, the first being 0: anything from nothing to `base_delay * 2^attempt`, at most
/// `max_delay`. Source: full jitter, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
#[must_use]
pub fn delay(attempt: u32, options: &RetryOptions, rng: &mut fastrand::Rng) -> Duration {
    let bound = options.base_delay.saturating_mul(2_u32.saturating_pow(attempt)).min(options.max_delay);
    Duration::try_from_secs_f64(bound.as_secs_f64() * rng.f64()).map_or(bound, |pause| pause.min(bound))
}

/// Keeps an outage from multiplying traffic: retries are a share of requests, on top of a floor.
///
/// In any 10 s there are at most `100 + budget * requests` retries, where the requests are those of the 10 s before the
/// last of them. Seconds are counted as wholes, against the retries. Nothing runs in the background. Source: Finagle's
/// `RetryBudget` and `tower::retry::budget::TpsBudget`, which round for the retries instead.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    share: f64,
    /// When the first slot began.
    origin: Option<Instant>,
    /// Number of the current second since then.
    second: u64,
    slots: [Slot; SLOTS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u64,
    retries: u64,
}

impl RetryBudget {
    /// A budget from which nothing was taken.
    #[must_use]
    pub fn new(options: &RetryOptions) -> Self {
        Self { share: options.budget, origin: None, second: 0, slots: [Slot::default(); SLOTS] }
    }

    /// A request, which earns its share.
    pub fn deposit(&mut self, now: Instant) {
        let slot = self.slot(now);
        slot.requests += 1;
    }

    /// Takes one retry, if there is one to take.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        self.slot(now);
        let oldest = usize::try_from((self.second + 1) % SLOTS as u64).unwrap_or(0);
        let retries: u64 = self.slots.iter().map(|slot| slot.retries).sum();
        let requests: u64 = self.slots.iter().map(|slot| slot.requests).sum();
        let requests = requests - self.slots.get(oldest).map_or(0, |slot| slot.requests);
        #[allow(clippy::cast_precision_loss, reason = "counts of 10 s stay far below 2^53")]
        let is_left = (retries + 1) as f64 <= f64::from(FLOOR_PER_S * WINDOW_S) + self.share * requests as f64;
        if is_left {
            self.slot(now).retries += 1;
        }
        is_left
    }

    /// The slot of this second, after those that have passed were emptied. A clock that goes back counts as standing.
    fn slot(&mut self, now: Instant) -> &mut Slot {
        let origin = *self.origin.get_or_insert(now);
        let second = now.saturating_duration_since(origin).as_secs();
        let passed = second.saturating_sub(self.second).min(SLOTS as u64);
        self.second = self.second.max(second);
        for back in 0..passed {
            *self.at(self.second - back) = Slot::default();
        }
        self.at(self.second)
    }

    #[allow(clippy::cast_possible_truncation, reason = "less than the number of slots")]
    fn at(&mut self, second: u64) -> &mut Slot {
        &mut self.slots[(second % SLOTS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn read(value: Value) -> Result<RetryOptions, Invalid> {
        RetryOptions::read(Fields::new("retry options", value)?)
    }

    #[test]
    fn what_is_absent_has_the_default_of_the_contract() {
        let options = read(json!({ "budget": null })).unwrap();
        assert_eq!(options, RetryOptions::default());
        assert_eq!((options.max_retries, options.base_delay, options.max_delay), (3, 500 * MS, 30_000 * MS));
        assert_eq!((options.cooldown, options.hedge_quantile), (5_000 * MS, None));
    }

    #[test]
    fn every_field_is_read() {
        let value = json!({ "maxRetries": 0, "baseDelayMs": 1.5, "maxDelayMs": 2, "budget": 1, "cooldownMs": 3, "hedgeQuantile": 0.95 });
        let expected = RetryOptions {
            max_retries: 0,
            base_delay: Duration::from_micros(1500),
            max_delay: 2 * MS,
            budget: 1.0,
            cooldown: 3 * MS,
            hedge_quantile: Some(0.95),
        };
        assert_eq!(read(value), Ok(expected));
    }

    #[test]
    fn a_number_out_of_range_is_a_range_error_and_an_unknown_name_is_refused() {
        for value in [
            json!({ "maxRetries": -1 }),
            json!({ "baseDelayMs": -1 }),
            json!({ "maxDelayMs": "NaN" }),
            json!({ "budget": 1.1 }),
            json!({ "cooldownMs": -0.1 }),
            json!({ "hedgeQuantile": 0 }),
            json!({ "hedgeQuantile": 1 }),
        ] {
            let (name, refusal) = (value.as_object().unwrap().keys().next().unwrap().clone(), read(value).unwrap_err());
            assert_eq!((refusal.field, refusal.is_range), (format!("retry options.{name}"), true));
        }
        assert!(!read(json!({ "budget": "much" })).unwrap_err().is_range);
        assert_eq!(read(json!({ "retries": 1 })).unwrap_err().field, "retry options.retries");
    }

    #[test]
    fn a_quiet_router_retries_too_but_not_without_end() {
        let (mut budget, now) = (RetryBudget::new(&RetryOptions::default()), Instant::now());
        assert_eq!((0..1000).filter(|_| budget.withdraw(now)).count(), 100);
        assert_eq!((0..1000).filter(|_| budget.withdraw(now + 10_999 * MS)).count(), 0, "a slot late, never early");
        assert_eq!((0..1000).filter(|_| budget.withdraw(now + 11_000 * MS)).count(), 100);
    }

    #[test]
    fn requests_earn_their_share_for_ten_seconds() {
        let (mut budget, now) = (RetryBudget::new(&RetryOptions::default()), Instant::now());
        (0..1000).for_each(|_| budget.deposit(now));
        assert_eq!((0..1000).filter(|_| budget.withdraw(now + 9_999 * MS)).count(), 300);
        let mut budget = RetryBudget::new(&RetryOptions::default());
        (0..1000).for_each(|_| budget.deposit(now));
        assert_eq!((0..1000).filter(|_| budget.withdraw(now + 10_000 * MS)).count(), 100);
    }

    #[test]
    fn a_budget_of_nothing_leaves_the_floor() {
        let mut budget = RetryBudget::new(&RetryOptions { budget: 0.0, ..RetryOptions::default() });
        let now = Instant::now();
        (0..1000).for_each(|_| budget.deposit(now));
        assert_eq!((0..1000).filter(|_| budget.withdraw(now)).count(), 100);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

        #[test]
        fn in_any_ten_seconds_retries_stay_within_floor_and_share(
            steps in prop::collection::vec((0_u64..2500, 0_u32..120, 0_u32..120), 1..60),
            share in 0.0_f64..=1.0,
        ) {
            let mut budget = RetryBudget::new(&RetryOptions { budget: share, ..RetryOptions::default() });
            let mut now = Instant::now();
            let (mut requests, mut retries) = (Vec::new(), Vec::new());
            for (gap, deposits, withdrawals) in steps {
                now += Duration::from_millis(gap);
                for _ in 0..deposits {
                    budget.deposit(now);
                    requests.push(now);
                }
                for _ in 0..withdrawals {
                    if budget.withdraw(now) {
                        retries.push(now);
                    }
                }
                if retries.last() != Some(&now) {
                    continue;
                }
                let within = |moments: &[Instant]| moments.iter().filter(|at| now - **at <= Duration::from_secs(10)).count();
                let allowed = 100.0 + share * f64::from(u32::try_from(within(&requests)).unwrap());
                let taken = f64::from(u32::try_from(within(&retries)).unwrap());
                prop_assert!(taken <= allowed + 1e-6, "{taken} of {allowed}");
            }
        }

        #[test]
        fn a_pause_is_within_its_bounds(attempt in any::<u32>(), base in 0_u64..=(1 << 53), cap in 0_u64..=(1 << 53), seed in any::<u64>()) {
            let options = RetryOptions {
                base_delay: Duration::from_millis(base),
                max_delay: Duration::from_millis(cap),
                ..RetryOptions::default()
            };
            let pause = delay(attempt, &options, &mut fastrand::Rng::with_seed(seed));
            prop_assert!(pause <= options.max_delay);
            prop_assert!(pause.as_secs_f64() <= options.base_delay.as_secs_f64() * 2_f64.powf(f64::from(attempt)) + 1e-6);
        }
    }

    #[test]
    fn pauses_fill_their_bounds() {
        let (options, mut rng) = (RetryOptions::default(), fastrand::Rng::with_seed(1));
        let mut longest = |attempt| (0..500).map(|_| delay(attempt, &options, &mut rng)).max().unwrap();
        for (attempt, bound) in [(0, 500), (1, 1000), (3, 4000), (40, 30_000)] {
            let longest = longest(attempt);
            assert!((bound * MS * 9 / 10..=bound * MS).contains(&longest), "{attempt}: {longest:?}");
        }
    }
}
