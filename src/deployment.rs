//! One model in one group: who answers, what it may spend, how it has been doing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Failure, FailureClass, Invalid, Phase, Result};
use crate::health::{Health, Latency, RestOptions};
use crate::kinds::Usage;
use crate::options::DeployOptions;
use crate::provider::Provider;
use crate::tracker::Tracker;

/// What a completion is taken to cost before any answer was seen, in tokens.
const FIRST_GUESS: f64 = 256.0;

/// How long an answer may take, for all that is known, before any was seen.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);

/// Weight of the newest answer in what completions have been costing.
const LEARNING_RATE: f64 = 0.2;

/// A deployment. Owned by its group; calls in flight keep it alive after `undeploy`.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// `provider::model`.
    pub name: String,
    /// The model's name alone.
    pub model: String,
    pub tracker: Tracker,
    pub health: Health,
    pub latency: Latency,
    provider: RwLock<Arc<dyn Provider>>,
    options: RwLock<DeployOptions>,
    record: Mutex<Record>,
}

/// What came of the deployment's attempts so far.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub succeeded: u64,
    pub failed: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub cost: f64,
    pub last_error: Option<String>,
    typical_completion: f64,
}

/// Splits `provider::model` at the first `::`.
///
/// # Errors
/// If there is no `::`, or nothing on one side of it.
pub(crate) fn split_model(name: &str) -> Result<(&str, &str), Invalid> {
    match name.split_once("::") {
        Some((provider, model)) if !provider.is_empty() && !model.is_empty() => Ok((provider, model)),
        _ => Err(Invalid::type_error("model", "\"provider::model\", e.g. \"openai::gpt-4o\"", format!("{name:?}"))),
    }
}

impl Deployment {
    pub fn new(name: &str, model: &str, provider: Arc<dyn Provider>, options: DeployOptions) -> Self {
        Self {
            name: name.to_owned(),
            model: model.to_owned(),
            tracker: Tracker::new(options.limits),
            health: Health::default(),
            latency: Latency::default(),
            provider: RwLock::new(provider),
            options: RwLock::new(options),
            record: Mutex::new(Record {
                succeeded: 0,
                failed: 0,
                prompt_tokens: 0,
                completion_tokens: 0,
                cost: 0.0,
                last_error: None,
                typical_completion: FIRST_GUESS,
            }),
        }
    }

    pub fn provider(&self) -> Arc<dyn Provider> {
        Arc::clone(&self.provider.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes another provider of the same name, e.g. with a new key: what the old one failed at is no longer held
    /// against it.
    pub fn set_provider(&self, provider: Arc<dyn Provider>) {
        self.health.reset();
        *self.provider.write().unwrap_or_else(PoisonError::into_inner) = provider;
    }

    pub fn options(&self) -> DeployOptions {
        self.options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes other options; what was spent stays spent.
    pub fn set_options(&self, options: DeployOptions) {
        self.tracker.set_limits(options.limits);
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = options;
    }

    /// The tokens to reserve for a prompt: with what the caller allows for the answer, or with what answers have been
    /// costing here, as far as that fits the limit at all.
    pub fn reservation(&self, prompt: u64, completion: Option<u64>) -> u64 {
        if let Some(completion) = completion {
            return prompt.saturating_add(completion);
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of token counts")]
        let typical = self.record().typical_completion.ceil() as u64;
        let guess = prompt.saturating_add(typical);
        match self.options.read().unwrap_or_else(PoisonError::into_inner).limits.tpm {
            Some(tpm) if prompt <= tpm => guess.min(tpm),
            _ => guess,
        }
    }

    /// An attempt succeeded.
    pub fn succeeded(&self, usage: &Usage, took: Duration, first_token: Duration, now: Instant) {
        self.health.succeed(now);
        self.latency.record(took, first_token, now);
        let mut record = self.record();
        record.succeeded += 1;
        record.prompt_tokens += usage.prompt_tokens;
        record.completion_tokens += usage.completion_tokens;
        record.cost += usage.cost.unwrap_or(0.0);
        #[allow(clippy::cast_precision_loss, reason = "token counts stay far below 2^53")]
        let newest = usage.completion_tokens as f64;
        record.typical_completion += LEARNING_RATE * (newest - record.typical_completion);
    }

    /// An attempt failed, after this long.
    pub fn failed(&self, failure: &Failure, rest: &RestOptions, took: Duration, now: Instant) {
        if !self.is_impatience(failure, took) {
            self.health.fail(failure.class, failure.retry_after, now, rest);
            let is_callers_fault = matches!(failure.class, FailureClass::Rejected | FailureClass::TooLong);
            if !is_callers_fault {
                self.latency.penalise(now);
            }
        }
        let mut record = self.record();
        record.failed += 1;
        record.last_error = Some(failure.message.clone());
    }

    /// Whether a call only ran out of its own time, before most answers of this deployment would have been there.
    fn is_impatience(&self, failure: &Failure, took: Duration) -> bool {
        let usual = self.latency.total_quantiles().p95;
        let usual = if usual > 0.0 { Duration::from_secs_f64(usual / 1000.0) } else { FIRST_PATIENCE };
        matches!(failure.timeout, Some((Phase::Total, _))) && took < usual
    }

    /// A copy of the record.
    pub fn snapshot(&self) -> Record {
        self.record().clone()
    }

    // A std mutex: nothing is awaited while it is held.
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_may_hold_further_colons() {
        assert_eq!(split_model("local::org::llama3"), Ok(("local", "org::llama3")));
    }

    #[test]
    fn a_model_without_a_provider_says_what_form_is_wanted() {
        for name in ["gpt-4o", "::gpt-4o", "openai::", "", "openai:gpt-4o"] {
            let message = split_model(name).unwrap_err().to_string();
            assert!(message.starts_with("model: expected \"provider::model\""), "{message}");
        }
    }
}
