//! What a call cost.

use serde::{Deserialize, Serialize};

/// Tokens and money that one answer took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: u64,
    /// Both together.
    pub total_tokens: u64,
    /// Of the prompt, those that the provider took from its own cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_prompt_tokens: Option<u64>,
    /// Of the answer, those that were spent on reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// USD, if the deployment has a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Counted here, because the provider did not say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

/// What a deployment charges, in USD per million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// For prompt tokens.
    pub prompt: f64,
    /// For completion tokens.
    pub completion: f64,
    /// For prompt tokens that the provider had cached; as `prompt` if absent.
    pub cached_prompt: Option<f64>,
}

impl Usage {
    /// Usage counted here.
    #[must_use]
    pub fn estimated(prompt_tokens: u64, completion_tokens: u64) -> Self {
        let total_tokens = prompt_tokens + completion_tokens;
        Self { prompt_tokens, completion_tokens, total_tokens, estimated: true, ..Self::default() }
    }

    /// As OpenAI writes it; `estimated` beside it if it was counted here.
    #[must_use]
    pub fn wire(&self) -> serde_json::Value {
        let mut wire = serde_json::json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
        });
        if let Some(tokens) = self.cached_prompt_tokens {
            wire["prompt_tokens_details"] = serde_json::json!({ "cached_tokens": tokens });
        }
        if let Some(tokens) = self.reasoning_tokens {
            wire["completion_tokens_details"] = serde_json::json!({ "reasoning_tokens": tokens });
        }
        if self.estimated {
            wire["estimated"] = true.into();
        }
        wire
    }

    /// As the Responses API writes it; `estimated` beside it if it was counted here.
    #[must_use]
    pub fn response_wire(&self) -> serde_json::Value {
        let mut wire = serde_json::json!({
            "input_tokens": self.prompt_tokens,
            "input_tokens_details": { "cached_tokens": self.cached_prompt_tokens.unwrap_or(0) },
            "output_tokens": self.completion_tokens,
            "output_tokens_details": { "reasoning_tokens": self.reasoning_tokens.unwrap_or(0) },
            "total_tokens": self.total_tokens,
        });
        if self.estimated {
            wire["estimated"] = true.into();
        }
        wire
    }

    /// The same usage with what it cost at this price.
    #[must_use]
    pub fn priced(mut self, price: Option<&Price>) -> Self {
        self.cost = price.map(|price| price.of(&self));
        self
    }

    /// The sum of two; estimated if either is.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        fn sum<T: std::ops::Add<Output = T>>(left: Option<T>, right: Option<T>) -> Option<T> {
            match (left, right) {
                (Some(left), Some(right)) => Some(left + right),
                (one, None) | (None, one) => one,
            }
        }
        Self {
            prompt_tokens: self.prompt_tokens + other.prompt_tokens,
            completion_tokens: self.completion_tokens + other.completion_tokens,
            total_tokens: self.total_tokens + other.total_tokens,
            cached_prompt_tokens: sum(self.cached_prompt_tokens, other.cached_prompt_tokens),
            reasoning_tokens: sum(self.reasoning_tokens, other.reasoning_tokens),
            cost: sum(self.cost, other.cost),
            estimated: self.estimated || other.estimated,
        }
    }
}

impl Price {
    /// What this usage costs, in USD.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "token counts stay far below 2^53")]
    pub fn of(&self, usage: &Usage) -> f64 {
        let cached = usage.cached_prompt_tokens.unwrap_or(0).min(usage.prompt_tokens);
        let fresh = usage.prompt_tokens - cached;
        let cached_price = self.cached_prompt.unwrap_or(self.prompt);
        (fresh as f64 * self.prompt + cached as f64 * cached_price + usage.completion_tokens as f64 * self.completion)
            / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_prompt_tokens_cost_their_own_price() {
        let price = Price { prompt: 2.0, completion: 8.0, cached_prompt: Some(0.5) };
        let usage = Usage {
            prompt_tokens: 1_000_000,
            completion_tokens: 500_000,
            cached_prompt_tokens: Some(400_000),
            ..Usage::default()
        };
        assert!((price.of(&usage) - (1.2 + 0.2 + 4.0)).abs() < 1e-9);
    }
}
