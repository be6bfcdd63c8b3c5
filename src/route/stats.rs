//! What a router is doing: a snapshot, cheap enough to poll.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::time::Instant;

use crate::cache::CacheStats;
use crate::deployment::Deployment;
use crate::health::{CircuitState, Quantiles};

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
    /// The cache, if one is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheStats>,
}

/// A group's state.
#[derive(Clone, Debug, Serialize)]
pub struct GroupStats {
    /// Calls that wait in its line.
    pub waiting: usize,
    /// Its deployments, in the order in which they were deployed.
    pub deployments: Vec<DeploymentStats>,
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

/// Limits as they were configured.
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

impl DeploymentStats {
    pub(crate) fn of(deployment: &Deployment, now: Instant) -> Self {
        let (spent, limits) = (deployment.tracker.spent(now), deployment.tracker.limits());
        let record = deployment.snapshot();
        let (circuit, rest) = deployment.health.state(now);
        Self {
            model: deployment.name.clone(),
            in_flight: deployment.tracker.in_flight(),
            window: WindowStats { requests: spent.requests, tokens: spent.tokens },
            limits: LimitStats { rpm: limits.rpm, tpm: limits.tpm, max_concurrent: limits.max_concurrent },
            succeeded: record.succeeded,
            failed: record.failed,
            prompt_tokens: record.prompt_tokens,
            completion_tokens: record.completion_tokens,
            cost: record.cost,
            latency_ms: deployment.latency.total_quantiles(),
            first_token_ms: deployment.latency.first_token_quantiles(),
            circuit,
            rest_ms: rest.as_secs_f64() * 1000.0,
            last_error: record.last_error,
        }
    }
}
