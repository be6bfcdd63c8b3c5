//! A failure as JavaScript gets it: the class's name and its fields, from which the face builds the error.

use serde::Serialize;

use crate::error::{Attempt, Error, ErrorKind, Phase, milliseconds};

/// What crosses.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure<'a> {
    name: &'static str,
    code: &'static str,
    message: String,
    retryable: bool,
    attempts: &'a [Attempt],
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<Failure<'a>>>,
}

impl<'a> From<&'a Error> for Failure<'a> {
    fn from(error: &'a Error) -> Self {
        let mut failure = Self {
            name: "ThrydError",
            code: error.code(),
            message: error.to_string(),
            retryable: error.is_retryable(),
            attempts: error.attempts(),
            retry_after_ms: error.retry_after().map(milliseconds),
            phase: None,
            status: None,
            deployment: None,
            body: None,
            request_id: None,
            delivered: None,
            errors: None,
        };
        match error.kind() {
            ErrorKind::Invalid(invalid) => failure.name = if invalid.is_range { "RangeError" } else { "TypeError" },
            ErrorKind::Cancelled => failure.name = "Cancelled",
            ErrorKind::RateLimited { .. } => failure.name = "RateLimitError",
            ErrorKind::Cache { .. } => failure.name = "CacheError",
            ErrorKind::Timeout { phase, deployment, .. } => {
                failure.name = "TimeoutError";
                failure.phase = Some(*phase);
                failure.deployment = deployment.as_deref();
            }
            ErrorKind::Provider { deployment, failure: cause } => {
                failure.name = "ProviderError";
                failure.deployment = Some(deployment);
                failure.status = cause.status;
                failure.body = cause.body.as_deref();
                failure.request_id = cause.request_id.as_deref();
            }
            ErrorKind::Interrupted { deployment, delivered, failure: cause } => {
                failure.name = "InterruptedError";
                failure.phase = cause.timeout.map(|(phase, _)| phase);
                failure.deployment = Some(deployment);
                failure.delivered = Some(delivered);
            }
            ErrorKind::Exhausted { errors, .. } => {
                failure.name = "ExhaustedError";
                failure.errors = Some(errors.iter().map(Failure::from).collect());
            }
            _ => {}
        }
        failure
    }
}

/// The failure as JSON text.
pub fn to_json(error: &Error) -> String {
    serde_json::to_string(&Failure::from(error)).expect("plain data serialises")
}
