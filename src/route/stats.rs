//! What a router is doing: a snapshot, cheap enough to poll.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::time::Instant;

use crate::cache::CacheStats;
use crate::deployment::Deployment;
use crate::error::{FailureClass, Outcome};
use crate::health::{CircuitState, Quantiles, Status};
use crate::redis::limits::LimitsStats;
use crate::tracker::{Learned, Limits, Spent, Tracker};

/// A router's state.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouterStats {
    /// Calls that have begun and not ended.
    pub in_flight: usize,
    /// Of them, those that wait for a limit.
    pub waiting: usize,
    /// Every group.
    pub groups: BTreeMap<String, GroupStats>,
    /// Every provider with limits of its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<String, ProviderStats>,
    /// The cache, if one is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheStats>,
    /// How limits are counted, if over Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsStats>,
}

/// A group's state.
#[derive(Clone, Debug, Serialize)]
pub struct GroupStats {
    /// Calls that wait in its line.
    pub waiting: usize,
    /// Its deployments, in the order in which they were deployed.
    pub deployments: Vec<DeploymentStats>,
}

/// The account of a provider: of everyone in this process who charges it.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderStats {
    /// Requests in flight.
    pub in_flight: u64,
    /// Spent or reserved in the last 60 s.
    pub window: WindowStats,
    /// What it may spend.
    pub limits: LimitStats,
}

/// A deployment's state.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStats {
    /// `provider::model`.
    pub model: String,
    /// Requests in flight.
    pub in_flight: u64,
    /// Spent or reserved in the last 60 s.
    pub window: WindowStats,
    /// What it may spend.
    pub limits: LimitStats,
    /// What its provider named as its limits, in force if they are tighter.
    pub learned: LimitStats,
    /// Values of headers about limits that made no sense and were left out.
    pub ignored_headers: u64,
    /// Attempts that were answered.
    pub succeeded: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// USD, where it has a price.
    pub cost: f64,
    /// Time to the whole answer.
    pub latency_ms: Quantiles,
    /// Time to the first token.
    pub first_token_ms: Quantiles,
    /// Whether it is asked.
    pub circuit: CircuitState,
    /// For how long it is not, in milliseconds.
    pub rest_ms: f64,
    /// How the attempt ended that put it to rest, unless the circuit is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest_reason: Option<Outcome>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest_error: Option<String>,
    /// How many requests it takes at once while it ramps up after a rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp_limit: Option<u64>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Spent or reserved in the last 60 s.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WindowStats {
    /// Requests.
    pub requests: u64,
    /// Tokens.
    pub tokens: u64,
}

/// Limits; what is absent is not limited.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitStats {
    /// Requests per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u64>,
    /// Tokens per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
    /// Requests in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u64>,
}

impl WindowStats {
    fn of(tracker: &Tracker, now: Instant) -> Self {
        let Spent { requests, tokens } = tracker.spent(now);
        Self { requests, tokens }
    }
}

impl LimitStats {
    fn of(Limits { rpm, tpm, max_concurrent }: Limits) -> Self {
        Self { rpm, tpm, max_concurrent }
    }
}

impl ProviderStats {
    pub(crate) fn of(account: &Tracker, now: Instant) -> Self {
        Self {
            in_flight: account.in_flight(),
            window: WindowStats::of(account, now),
            limits: LimitStats::of(account.limits()),
        }
    }
}

impl DeploymentStats {
    pub(crate) fn of(deployment: &Deployment, now: Instant) -> Self {
        let tracker = &deployment.tracker;
        let Learned { rpm, tpm } = tracker.learned(now);
        let record = deployment.snapshot();
        let Status { state, rest, class, allowance } = deployment.health.status(now);
        Self {
            model: deployment.name.clone(),
            in_flight: tracker.in_flight(),
            window: WindowStats::of(tracker, now),
            limits: LimitStats::of(tracker.limits()),
            learned: LimitStats { rpm, tpm, max_concurrent: None },
            ignored_headers: tracker.ignored(),
            succeeded: record.succeeded,
            failed: record.failed,
            prompt_tokens: record.prompt_tokens,
            completion_tokens: record.completion_tokens,
            cost: record.cost,
            latency_ms: deployment.latency.total_quantiles(),
            first_token_ms: deployment.latency.first_token_quantiles(),
            circuit: state,
            rest_ms: rest.as_secs_f64() * 1000.0,
            rest_reason: class.map(FailureClass::outcome),
            rest_error: class.and(record.rest_error),
            ramp_limit: allowance,
            last_error: record.last_error,
        }
    }
}
