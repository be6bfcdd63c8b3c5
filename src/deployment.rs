//! One model in one group: who answers, what it may spend, how it has been doing.

mod typical;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Failure, Invalid, Phase, Result};
use crate::health::{Fault, Health, Latency, Pass, RestOptions};
use crate::kinds::Usage;
use crate::options::DeployOptions;
use crate::provider::Provider;
use crate::redis::limits::SharedLimits;
use crate::tracker::{Subscription, Tracker};
use typical::{FIRST_GUESS, Typical};

/// How long an answer may take, for all that is known, before any was seen.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);

/// For how long failures are put down to the hurry of callers, if nothing else comes of a deployment.
const EXCUSED_FOR: Duration = Duration::from_secs(10);

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
    /// The router's kind.
    kind: &'static str,
    provider: RwLock<Arc<dyn Provider>>,
    options: RwLock<DeployOptions>,
    /// See [`Deployment::cached_as`].
    cached_as: RwLock<Arc<str>>,
    /// By whom its limits are counted, if not by its tracker alone.
    limits: Option<Arc<SharedLimits>>,
    hot: Hot,
    record: Mutex<Record>,
    wake: OnceLock<Wake>,
    /// To its own tracker and to that of its account.
    subscriptions: Mutex<[Option<Subscription>; 2]>,
}

/// Copies of what every pick looks at, so that it takes no lock to look.
#[derive(Debug)]
struct Hot {
    is_able: AtomicBool,
    /// See [`Deployment::streams`].
    streams: AtomicBool,
    /// The bits of an `f64`.
    weight: AtomicU64,
    /// `u64::MAX` is unlimited.
    context_window: AtomicU64,
    /// What an answer is taken to cost.
    typical: AtomicU64,
}

/// Tells whoever waits for this deployment that there may be room.
struct Wake(Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Wake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wake")
    }
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
    /// What put it to rest last.
    pub rest_error: Option<String>,
    /// When it last answered.
    answered: Option<Instant>,
    /// Since when nothing came but failures that were put down to their callers' hurry.
    excused: Option<Instant>,
    typical: Typical,
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
    /// A deployment for requests of this kind, on a new window or on one that it had before.
    pub fn new(
        name: &str,
        model: &str,
        kind: &'static str,
        provider: &Arc<dyn Provider>,
        options: DeployOptions,
        tracker: Option<Tracker>,
        limits: Option<Arc<SharedLimits>>,
    ) -> Self {
        let tracker = tracker.unwrap_or_else(|| Tracker::new(options.limits));
        let record = Record {
            succeeded: 0,
            failed: 0,
            prompt_tokens: 0,
            completion_tokens: 0,
            cost: 0.0,
            last_error: None,
            rest_error: None,
            answered: None,
            excused: None,
            typical: Typical::new(),
        };
        let deployment = Self {
            name: name.to_owned(),
            model: model.to_owned(),
            tracker,
            health: Health::default(),
            latency: Latency::default(),
            kind,
            provider: RwLock::new(Arc::clone(provider)),
            options: RwLock::default(),
            cached_as: RwLock::new(name.into()),
            limits,
            hot: Hot {
                is_able: AtomicBool::new(false),
                streams: AtomicBool::new(true),
                weight: AtomicU64::default(),
                context_window: AtomicU64::default(),
                typical: AtomicU64::new(FIRST_GUESS),
            },
            record: Mutex::new(record),
            wake: OnceLock::new(),
            subscriptions: Mutex::default(),
        };
        deployment.use_provider(provider);
        deployment.set_options(options);
        deployment
    }

    /// Calls `wake` whenever there may be more room than before.
    pub fn on_room(&self, wake: impl Fn() + Send + Sync + 'static) {
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(wake);
        let _first = self.wake.set(Wake(Arc::clone(&wake)));
        self.health.on_room(move || wake());
        self.subscribe();
    }

    pub fn provider(&self) -> Arc<dyn Provider> {
        Arc::clone(&self.provider.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes another provider of the same name, e.g. with a new key: what the old one failed at is no longer held
    /// against it.
    pub fn set_provider(&self, provider: Arc<dyn Provider>) {
        self.tracker.forget_heard();
        self.hot.streams.store(true, Ordering::Relaxed);
        self.use_provider(&provider);
        *self.provider.write().unwrap_or_else(PoisonError::into_inner) = provider;
        // Afterwards, so that nothing that is sent to the old one counts.
        self.health.reset();
        self.subscribe();
    }

    fn use_provider(&self, provider: &Arc<dyn Provider>) {
        self.hot.is_able.store(provider.supports(self.kind), Ordering::Relaxed);
        self.tracker.stand_on(provider.account());
        if let Some(limits) = &self.limits {
            self.tracker.count_with(|told| limits.ledger(&provider.identity(), &self.name, told));
        }
    }

    fn subscribe(&self) {
        let Some(Wake(wake)) = self.wake.get() else { return };
        let listen = |tracker: Tracker| {
            let wake = Arc::clone(wake);
            tracker.subscribe(move || wake())
        };
        let new = [Some(listen(self.tracker.clone())), self.tracker.below().map(listen)];
        *self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner) = new;
    }

    pub fn options(&self) -> DeployOptions {
        self.options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes other options; what was spent stays spent.
    pub fn set_options(&self, options: DeployOptions) {
        self.hot.weight.store(options.weight.to_bits(), Ordering::Relaxed);
        self.hot.context_window.store(options.context_window.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.tracker.set_limits(options.limits);
        let cached_as = options.cache_as.as_deref().unwrap_or(&self.name);
        *self.cached_as.write().unwrap_or_else(PoisonError::into_inner) = cached_as.into();
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = options;
    }

    /// The name that stands for it in the cache's key: its own, unless its options give it another.
    pub fn cached_as(&self) -> Arc<str> {
        Arc::clone(&self.cached_as.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The model that it is, whoever serves it: what its options say, else the name after its provider's.
    pub fn answers_as(&self) -> Arc<str> {
        let cached_as = self.cached_as();
        if *cached_as == *self.name { Arc::from(&*self.model) } else { cached_as }
    }

    /// Whether it serves the router's kind of request.
    pub fn is_able(&self) -> bool {
        self.hot.is_able.load(Ordering::Relaxed)
    }

    /// Whether it may be asked to stream what its caller wants whole: until it refuses to.
    pub fn streams(&self) -> bool {
        self.hot.streams.load(Ordering::Relaxed)
    }

    /// It refused to stream.
    pub fn refuse_streams(&self) {
        self.hot.streams.store(false, Ordering::Relaxed);
    }

    /// Whether the tokens of a request that takes at most so many have to be known before it is sent here.
    pub fn counts_tokens(&self, bound: u64, now: Instant) -> bool {
        bound > self.context_window() || self.tracker.limits_tokens(now)
    }

    /// Its weight.
    pub fn weight(&self) -> f64 {
        f64::from_bits(self.hot.weight.load(Ordering::Relaxed))
    }

    /// The longest context that it takes; `u64::MAX` is any.
    pub fn context_window(&self) -> u64 {
        self.hot.context_window.load(Ordering::Relaxed)
    }

    /// The tokens to reserve for a prompt: with what the caller allows for the answer, or with what nine of ten answers
    /// have been costing here, as far as that fits the limit at all.
    pub fn reservation(&self, prompt: u64, completion: Option<u64>, now: Instant) -> u64 {
        if let Some(completion) = completion {
            return prompt.saturating_add(completion);
        }
        let guess = prompt.saturating_add(self.hot.typical.load(Ordering::Relaxed));
        match self.tracker.tpm_at(now) {
            Some(tpm) if prompt <= tpm => guess.min(tpm),
            _ => guess,
        }
    }

    /// The first token of an attempt came, after this long.
    pub fn first_token(&self, pass: &Pass, took: Duration, now: Instant) {
        self.record().excused = None;
        if self.health.begin_answer(pass, now) {
            self.latency.forgive();
        }
        self.latency.record_first_token(took, now);
    }

    /// An attempt succeeded, whose first token was told when it came.
    pub fn succeeded(&self, pass: &Pass, usage: &Usage, took: Duration, now: Instant) {
        if self.health.succeed(pass, now) {
            self.latency.forgive();
        }
        self.latency.record_total(took);
        let mut record = self.record();
        record.succeeded += 1;
        record.answered = Some(now);
        record.excused = None;
        record.prompt_tokens = record.prompt_tokens.saturating_add(usage.prompt_tokens);
        record.completion_tokens = record.completion_tokens.saturating_add(usage.completion_tokens);
        record.cost += usage.cost.unwrap_or(0.0);
        let typical = record.typical.push(usage.completion_tokens);
        self.hot.typical.store(typical, Ordering::Relaxed);
    }

    /// Whether somebody was answered after this moment.
    pub fn has_answered_since(&self, moment: Instant) -> bool {
        self.record().answered.is_some_and(|answered| answered > moment)
    }

    /// An attempt failed, after this long. With `is_impatient` a clock ran out that only this call has: nothing is held
    /// against the deployment if most of its answers take as long.
    pub fn failed(
        &self,
        pass: &Pass,
        failure: &Failure,
        rest: &RestOptions,
        is_impatient: bool,
        took: Duration,
        now: Instant,
    ) {
        let mut rests = false;
        if !(is_impatient && self.is_excused(failure, took, now)) {
            let fault = Fault { class: failure.class, retry_after: failure.retry_after, took };
            rests = self.health.fail(pass, &fault, now, rest);
            if !failure.class.blames_request() {
                self.latency.penalise(now);
            }
        }
        let mut record = self.record();
        record.failed += 1;
        record.last_error = Some(failure.message.clone());
        if rests {
            record.rest_error = Some(failure.message.clone());
        }
    }

    /// Whether it may take as long as a clock allowed that ran out after `took`, since 95 % of its answers are there only
    /// later, or nothing is known of them. But not if that has been so for a while and nothing else came of it: then it hangs.
    fn is_excused(&self, failure: &Failure, took: Duration, now: Instant) -> bool {
        let Some((phase, limit)) = failure.timeout else { return false };
        let (waited, usual) = match phase {
            Phase::Connect | Phase::FirstToken => (took, self.latency.first_token_quantiles().p95),
            Phase::Idle => (limit, 0.0),
            Phase::Queue | Phase::Attempt | Phase::Total => (took, self.latency.total_quantiles().p95),
        };
        let usual = if usual > 0.0 { Duration::from_secs_f64(usual / 1000.0) } else { FIRST_PATIENCE };
        if waited >= usual {
            return false;
        }
        let since = *self.record().excused.get_or_insert(now);
        now - since < EXCUSED_FOR.max(10 * usual)
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
