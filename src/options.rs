//! What a router can be told: every option, its range and its one default.

mod interest;
mod timeouts;

use std::time::Duration;

use serde_json::Value;

pub use interest::Interest;
use timeouts::TIMEOUT_NAMES;
pub use timeouts::Timeouts;

use crate::cache::CacheOptions;
use crate::error::{Invalid, Result};
use crate::fields::Fields;
use crate::kinds::Price;
use crate::provider::ProviderOptions;
use crate::redis::limits::SharedLimitsOptions;
use crate::route::retry::RetryOptions;
use crate::route::strategy::Strategy;
use crate::tracker::Limits;

/// Options of a router.
#[derive(Clone, Debug, Default)]
pub struct RouterOptions {
    /// Providers to begin with.
    pub providers: Vec<ProviderOptions>,
    /// Groups to begin with.
    pub groups: Vec<GroupPlan>,
    /// The cache, opened on first use.
    pub cache: Option<CacheOptions>,
    /// By whom limits are counted. Default: by this router alone.
    pub limits: Option<SharedLimitsOptions>,
    /// Retries and rests.
    pub retry: RetryOptions,
    /// Clocks.
    pub timeouts: Timeouts,
}

/// A group as the router's options describe it.
#[derive(Clone, Debug)]
pub struct GroupPlan {
    /// Its name.
    pub name: String,
    /// Its options.
    pub options: GroupOptions,
    /// Its deployments: `provider::model` and options.
    pub deployments: Vec<(String, DeployOptions)>,
}

/// Options of a group.
#[derive(Clone, Debug, Default)]
pub struct GroupOptions {
    /// Which deployment is asked first. Default [`Strategy::LeastLoaded`].
    pub strategy: Strategy,
    /// Groups to try, in order, when this one cannot answer.
    pub fallbacks: Vec<String>,
}

/// Options of a deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployOptions {
    /// Requests and tokens per minute, and requests in flight. Default unlimited.
    pub limits: Limits,
    /// Share under [`Strategy::Weighted`], at least 0. Default 1.
    pub weight: f64,
    /// Longest context in tokens; longer requests are not sent here.
    pub context_window: Option<u64>,
    /// What its tokens cost.
    pub price: Option<Price>,
    /// The name that it stands under in the cache's key, in the place of `provider::model`: deployments of one name may
    /// answer for each other. Not empty.
    pub cache_as: Option<String>,
}

/// What a call may do with the cache, in the words of `fetch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheUse {
    /// Read, join, write.
    #[default]
    Default,
    /// Ask anew and write.
    Reload,
    /// Ask anew and leave no trace.
    NoStore,
    /// Read, never send.
    OnlyIfCached,
}

/// Options of one call.
#[derive(Clone, Debug)]
pub struct InvokeOptions {
    /// Clocks; the router's if absent.
    pub timeouts: Option<Timeouts>,
    /// Use of the cache.
    pub cache: CacheUse,
    /// How long the answer is kept; the cache's own time if absent.
    pub cache_ttl: Option<Duration>,
    /// Tenants that must not see each other's answers; the cache's own namespace if absent.
    pub namespace: Option<String>,
    /// Higher goes first. Default 0.
    pub priority: i64,
    /// Whether a second attempt may start while the first is under way, where [`RetryOptions::hedge_quantile`] asks for it.
    /// Default true.
    pub hedge: bool,
    /// Whether the answer of this one call is still wanted, for callers who drop their calls a little later than they leave
    /// them. As long as the call is not dropped, if absent.
    pub interest: Option<Interest>,
}

/// What happens when a stream breaks after its first chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInterrupt {
    /// It ends with an error that says what was delivered.
    #[default]
    Error,
    /// It begins again on another deployment, and says so.
    Restart,
}

/// Options of one streamed call.
#[derive(Clone, Debug, Default)]
pub struct StreamOptions {
    /// Those of every call.
    pub invoke: InvokeOptions,
    /// After the first chunk, on failure.
    pub on_interrupt: OnInterrupt,
    /// Assemble the answer before the first chunk, so that failover is invisible.
    pub buffer: bool,
    /// Give the events themselves, as the provider sent them, instead of what can be read in them.
    pub events: bool,
}

impl Default for InvokeOptions {
    fn default() -> Self {
        let (cache, timeouts) = (CacheUse::default(), None);
        Self { timeouts, cache, cache_ttl: None, namespace: None, priority: 0, hedge: true, interest: None }
    }
}

impl Default for DeployOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), weight: 1.0, context_window: None, price: None, cache_as: None }
    }
}

/// Priorities reach this far either way.
const FURTHEST: f64 = 1e9;

const CALL_NAMES: &str = "signal, cache, cacheTtlMs, namespace, priority, hedge";

impl DeployOptions {
    /// Reads the options of `deploy`.
    ///
    /// # Errors
    /// If a field is unknown, of the wrong type or out of range.
    pub fn read(mut fields: Fields) -> Result<Self, Invalid> {
        let default = Self::default();
        let options = Self {
            limits: Limits::take_all(&mut fields)?,
            weight: fields.number("weight", 0.0, f64::MAX)?.unwrap_or(default.weight),
            context_window: fields.integer("contextWindow", 1)?,
            price: fields.nested("price", "deploy options.price", |mut price| {
                let required = |fields: &mut Fields, name| {
                    let number = fields.number(name, 0.0, f64::MAX)?;
                    number.ok_or_else(|| fields.type_error(name, "a number of at least 0", "nothing"))
                };
                let read = Price {
                    prompt: required(&mut price, "prompt")?,
                    completion: required(&mut price, "completion")?,
                    cached_prompt: price.number("cachedPrompt", 0.0, f64::MAX)?,
                };
                price.finish("prompt, completion, cachedPrompt")?;
                Ok(read)
            })?,
            cache_as: fields.string("cacheAs")?,
        };
        if options.cache_as.as_deref() == Some("") {
            return Err(fields.type_error("cacheAs", "a name that is not empty", "\"\""));
        }
        fields.finish("rpm, tpm, maxConcurrent, weight, contextWindow, price, cacheAs")?;
        Ok(options)
    }
}

impl Limits {
    /// Reads the limits of a usage window on its own.
    ///
    /// # Errors
    /// If a field is unknown, of the wrong type or out of range.
    pub fn read(mut fields: Fields) -> Result<Self, Invalid> {
        let limits = Self::take(&mut fields)?;
        fields.finish("rpm, tpm")?;
        Ok(limits)
    }

    /// Reads the limits of a provider, requests in flight included.
    ///
    /// # Errors
    /// If a field is unknown, of the wrong type or out of range.
    pub fn read_all(mut fields: Fields) -> Result<Self, Invalid> {
        let limits = Self::take_all(&mut fields)?;
        fields.finish("rpm, tpm, maxConcurrent")?;
        Ok(limits)
    }

    fn take(fields: &mut Fields) -> Result<Self, Invalid> {
        Ok(Self { rpm: fields.integer("rpm", 1)?, tpm: fields.integer("tpm", 1)?, max_concurrent: None })
    }

    fn take_all(fields: &mut Fields) -> Result<Self, Invalid> {
        Ok(Self { max_concurrent: fields.integer("maxConcurrent", 1)?, ..Self::take(fields)? })
    }
}

impl GroupOptions {
    /// Reads the options of `configureGroup`; what is absent stays as it is in `self`.
    ///
    /// # Errors
    /// If a field is unknown or of the wrong type.
    pub fn overlay(self, mut fields: Fields) -> Result<Self, Invalid> {
        let options = self.take(&mut fields)?;
        fields.finish("strategy, fallbacks")?;
        Ok(options)
    }

    fn take(self, fields: &mut Fields) -> Result<Self, Invalid> {
        Ok(Self {
            strategy: fields.word("strategy", Strategy::WORDS)?.unwrap_or(self.strategy),
            fallbacks: fields.strings("fallbacks")?.unwrap_or(self.fallbacks),
        })
    }
}

impl GroupPlan {
    fn read(name: String, mut fields: Fields) -> Result<Self, Invalid> {
        let options = GroupOptions::default().take(&mut fields)?;
        let items = match fields.take("deployments") {
            Some(Value::Array(items)) => items,
            other => {
                let got = other.as_ref().map_or_else(|| "nothing".to_owned(), crate::fields::describe);
                return Err(fields.type_error("deployments", "an array of models or { model, ...options }", got));
            }
        };
        fields.finish("strategy, fallbacks, deployments")?;
        let deployments = items.into_iter().map(|item| match item {
            Value::String(model) => Ok((model, DeployOptions::default())),
            other => {
                let mut fields = Fields::new("deploy options", other)?;
                Ok((fields.required_string("model")?, DeployOptions::read(fields)?))
            }
        });
        Ok(Self { name, options, deployments: deployments.collect::<Result<_, Invalid>>()? })
    }
}

impl InvokeOptions {
    /// Reads the options of `invoke`; clocks that are absent are taken from `timeouts`.
    ///
    /// # Errors
    /// If a field is unknown, of the wrong type or out of range.
    pub fn read(mut fields: Fields, timeouts: &Timeouts) -> Result<Self, Invalid> {
        let options = Self::take(&mut fields, timeouts)?;
        fields.finish(&format!("{CALL_NAMES}, {TIMEOUT_NAMES}"))?;
        Ok(options)
    }

    fn take(fields: &mut Fields, timeouts: &Timeouts) -> Result<Self, Invalid> {
        let words = [
            ("default", CacheUse::Default),
            ("reload", CacheUse::Reload),
            ("no-store", CacheUse::NoStore),
            ("only-if-cached", CacheUse::OnlyIfCached),
        ];
        #[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
        Ok(Self {
            timeouts: Some(timeouts.overlay(fields)?),
            cache: fields.word("cache", &words)?.unwrap_or_default(),
            cache_ttl: fields.duration_ms("cacheTtlMs")?,
            namespace: fields.string("namespace")?,
            // A thousandth is kept, so that 0.5 goes before 0.
            priority: (fields.number("priority", -FURTHEST, FURTHEST)?.unwrap_or(0.0) * 1000.0) as i64,
            hedge: fields.boolean("hedge")?.unwrap_or(true),
            interest: None,
        })
    }
}

impl StreamOptions {
    /// Reads the options of `stream`; clocks that are absent are taken from `timeouts`.
    ///
    /// # Errors
    /// If a field is unknown, of the wrong type or out of range.
    pub fn read(mut fields: Fields, timeouts: &Timeouts) -> Result<Self, Invalid> {
        let words = [("error", OnInterrupt::Error), ("restart", OnInterrupt::Restart)];
        let options = Self {
            on_interrupt: fields.word("onInterrupt", &words)?.unwrap_or_default(),
            buffer: fields.boolean("buffer")?.unwrap_or(false),
            events: false,
            invoke: InvokeOptions::take(&mut fields, timeouts)?,
        };
        let known = format!("onInterrupt, buffer, {CALL_NAMES}, {TIMEOUT_NAMES}");
        fields.finish(&known)?;
        Ok(options)
    }
}

impl RouterOptions {
    /// Whether a provider is to be [warmed up](ProviderOptions::warm_up), which needs a Tokio runtime.
    #[must_use]
    pub fn warms_up(&self) -> bool {
        self.providers.iter().any(ProviderOptions::warms_up)
    }

    /// Reads the options of a router's constructor.
    ///
    /// # Errors
    /// If a field is unknown, of the wrong type or out of range, or asks for what this version cannot do.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let limits = fields.nested("limits", "limits", SharedLimitsOptions::read)?;
        let providers = match fields.take("providers") {
            None => Vec::new(),
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| Fields::new("provider options", item).and_then(ProviderOptions::read))
                .collect::<Result<_, Invalid>>()?,
            Some(other) => {
                return Err(fields.type_error("providers", "an array", crate::fields::describe(&other)).into());
            }
        };
        let groups = match fields.take("groups") {
            None => Vec::new(),
            Some(Value::Object(map)) => map
                .into_iter()
                .map(|(name, value)| GroupPlan::read(name, Fields::new("group options", value)?))
                .collect::<Result<_, Invalid>>()?,
            Some(other) => {
                return Err(fields.type_error("groups", "an object", crate::fields::describe(&other)).into());
            }
        };
        let cache = match fields.take("cache") {
            None => None,
            Some(Value::String(path)) => {
                let options = CacheOptions::at(path);
                options.check()?;
                Some(options)
            }
            Some(other) => Some(CacheOptions::read(Fields::new("cache options", other)?)?),
        };
        let retry = fields.nested("retry", "retry options", RetryOptions::read)?.unwrap_or_default();
        let timeouts = fields.nested("timeouts", "timeouts", |mut fields| {
            let timeouts = Timeouts::default().overlay(&mut fields)?;
            fields.finish(TIMEOUT_NAMES)?;
            Ok(timeouts)
        })?;
        fields.finish("providers, groups, cache, limits, retry, timeouts")?;
        Ok(Self { providers, groups, cache, limits, retry, timeouts: timeouts.unwrap_or_default() })
    }
}
