//! The usage window on its own.

use napi_derive::napi;
use std::sync::OnceLock;
use tokio::time::Instant;

use super::reply::reply;
use crate::error::Invalid;
use crate::fields::Fields;
use crate::tracker::{Limits, Tracker, Wait};

/// A usage window that belongs to nobody.
#[napi]
pub struct NativeUsageTracker {
    tracker: OnceLock<Tracker>,
}

#[napi]
impl NativeUsageTracker {
    #[napi(constructor)]
    #[allow(clippy::new_without_default, reason = "a constructor of the binding")]
    pub fn new() -> Self {
        Self { tracker: OnceLock::new() }
    }

    /// Sets the limits, once.
    #[napi]
    pub fn configure(&self, limits: String) -> String {
        reply(|| {
            let limits = Limits::read(Fields::parse("limits", &limits)?)?;
            let _first = self.tracker.set(Tracker::new(limits));
            Ok(())
        })
    }

    /// 0 and reserves, or the milliseconds to wait.
    #[napi]
    pub fn try_acquire(&self, tokens: Option<f64>) -> String {
        reply(|| {
            let tokens = count("tokens", tokens.unwrap_or(0.0))?;
            let now = Instant::now();
            match self.tracker().acquire_detached(tokens, now) {
                Ok(()) => Ok(0.0),
                Err(Wait::Until(moment)) => Ok((moment - now).as_secs_f64() * 1000.0),
                Err(Wait::Never | Wait::Release | Wait::ReleaseOr(_) | Wait::Asked) => {
                    let tpm = self.tracker().limits().tpm.unwrap_or(0);
                    Err(Invalid::range_error("tokens", format!("at most tpm, {tpm}"), tokens).into())
                }
            }
        })
    }

    /// Replaces a reservation by what it really was.
    #[napi]
    pub fn settle(&self, reserved: f64, actual: f64) -> String {
        reply(|| {
            self.tracker().settle_detached(count("reserved", reserved)?, count("actual", actual)?, Instant::now());
            Ok(())
        })
    }

    /// What is left now; without a limit, infinite, which JSON writes as null.
    #[napi]
    pub fn remaining(&self) -> String {
        reply(|| {
            let left = self.tracker().remaining(Instant::now());
            Ok(serde_json::json!({ "requests": left.requests, "tokens": left.tokens }))
        })
    }

    fn tracker(&self) -> &Tracker {
        self.tracker.get_or_init(|| Tracker::new(Limits::default()))
    }
}

/// A count that JavaScript gave as a number.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the range is checked"
)]
fn count(field: &str, number: f64) -> Result<u64, Invalid> {
    let largest = crate::constants::MAX_SAFE_INTEGER;
    if number.fract() == 0.0 && (0.0..=largest as f64).contains(&number) {
        return Ok(number as u64);
    }
    Err(Invalid::range_error(field, format!("an integer from 0 to {largest}"), number))
}
